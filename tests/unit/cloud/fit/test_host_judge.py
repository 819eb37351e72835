# SPDX-License-Identifier: Apache-2.0
"""Hosts are judged in the order in which Nova calls its components."""

import dataclasses

import pytest

from nova_gpu_passthrough.cloud.fit import filter_facts, free_capacity, gpu_flavors
from nova_gpu_passthrough.cloud.fit.host_judge import HostJudge
from nova_gpu_passthrough.cloud.view.model import DeviceState
from nova_gpu_passthrough.fleet import demand, settings
from nova_gpu_passthrough.nova_rules.refusal import Constraint, Refusal, Stage
from nova_gpu_passthrough.nova_rules.server_fit import ServerFit
from tests.unit.cloud import builders, clouds
from tests.unit.generate import builders as inventories

HGX = inventories.hgx("hgx1")
GPUS = [f"0000:{bus:02x}:00.0" for bus in range(0x20, 0x28)]
ATTRIBUTES = {
    "host": "hgx1",
    "hypervisor_type": "QEMU",
    "hypervisor_version": 8002002,
    "cpu_info": {"arch": "x86_64", "maxphysaddr": {"bits": 46}},
}


def judge_of(flavor, filters=(), aggregates=None, options=None, project=None, names=None, **server):
    fleet = clouds.fleet(
        HGX,
        settings=settings.make(
            {"enabled_filters": list(filters) or None, "scheduler_options": options}
        ),
    )
    aliases = demand.by_name(fleet.aliases.values())
    flavor_demand = demand.read(gpu_flavors.size(flavor), flavor.extra_specs, aliases)
    filtered = dataclasses.replace(filter_facts.of_flavor(flavor, project), **server)
    refusal = gpu_flavors.access_refusal(flavor, project)
    return HostJudge(fleet, aggregates or {}, flavor_demand, filtered, refusal, names)


def host(states=None, servers=(), aggregates=None, **changes):
    return builders.host(
        clouds.fleet(HGX),
        "hgx1",
        states,
        servers,
        aggregates=aggregates or {},
        attributes=ATTRIBUTES,
        **changes,
    )


def judged(judge, of_host):
    return judge.judge(of_host, free_capacity.of_host(of_host))


ONE = builders.flavor("one")
FULL = dict.fromkeys(GPUS, DeviceState.IN_USE)
ISOLATION = "AggregateMultiTenancyIsolation"
RESERVED = {"ml": {"filter_tenant_id": "p1"}}


def test_a_server_fits_as_by_the_rules_for_devices():
    fitted = judged(judge_of(ONE), host())
    assert isinstance(fitted, ServerFit)
    assert fitted.choice.gpus[0].address == GPUS[0]


@pytest.mark.parametrize(
    ("filters", "aggregates", "options", "extra_specs", "stage", "constraint", "words"),
    [
        (
            [ISOLATION],
            RESERVED,
            {},
            {},
            Stage.AGGREGATE_PROJECTS,
            Constraint.PROJECT,
            "reserved for project p1 (aggregate ml)",
        ),
        (
            ["AggregateInstanceExtraSpecsFilter"],
            {"slow": {"ssd": "false"}},
            {},
            {"aggregate_instance_extra_specs__ssd": "true"},
            Stage.AGGREGATE_EXTRA_SPECS,
            Constraint.AGGREGATE,
            (
                "extra spec aggregate_instance_extra_specs:ssd is 'true', ssd of the host's "
                "aggregates is false"
            ),
        ),
        (
            ["AggregateInstanceExtraSpecsFilter"],
            {},
            {},
            {"ssd": "true"},
            Stage.AGGREGATE_EXTRA_SPECS,
            Constraint.AGGREGATE,
            "extra spec ssd is 'true', and no aggregate of the host has ssd",
        ),
        (
            ["AggregateTypeAffinityFilter"],
            {"big": {"instance_type": "eight, four"}},
            {},
            {},
            Stage.AGGREGATE_FLAVORS,
            Constraint.AGGREGATE,
            "aggregate big of the host is for flavors eight, four",
        ),
        (
            ["IsolatedHostsFilter"],
            {},
            {"isolated_hosts": ["hgx1"], "isolated_images": ["i1"]},
            {},
            Stage.ISOLATED_HOSTS,
            Constraint.IMAGE,
            "the host is one of isolated_hosts, and takes only the images of isolated_images",
        ),
        (
            (),
            {},
            {},
            {"capabilities__hypervisor_version": ">= 9000000"},
            Stage.CAPABILITIES,
            Constraint.CAPABILITIES,
            "extra spec capabilities:hypervisor_version is '>= 9000000', the host has 8002002",
        ),
        (
            (),
            {},
            {},
            {"hw__maxphysaddr_bits": "48"},
            Stage.CAPABILITIES,
            Constraint.CAPABILITIES,
            "extra spec hw:maxphysaddr_bits is '>= 48', the host has 46",
        ),
        (
            ["AggregateIoOpsFilter"],
            {"slow": {"max_io_ops_per_host": "0"}},
            {},
            {},
            Stage.AGGREGATE_OPERATIONS,
            Constraint.SERVERS,
            "the host builds, resizes or rescues 0 servers, and max_io_ops_per_host is 0",
        ),
        (
            (),
            RESERVED,
            {
                "limit_tenants_to_placement_aggregate": True,
                "placement_aggregate_required_for_tenants": True,
            },
            {},
            Stage.PLACEMENT,
            Constraint.PROJECT,
            (
                "limit_tenants_to_placement_aggregate allows the project's servers on no host: it "
                "has no aggregate"
            ),
        ),
        (
            (),
            {"secure": {"trait:CUSTOM_SECURE": "required"}},
            {"enable_isolated_aggregate_filtering": True},
            {},
            Stage.PLACEMENT,
            Constraint.AGGREGATE,
            "aggregate secure is only for servers that require CUSTOM_SECURE",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_filter_that_the_fleet_enables_refuses(
    filters, aggregates, options, extra_specs, stage, constraint, words
):
    flavor = builders.flavor("one", **extra_specs)
    judge = judge_of(flavor, filters, aggregates, options, project="p2")
    refusal = judged(judge, host(aggregates=aggregates))
    assert refusal == Refusal(constraint, words, stage)
    assert judge.refusal_whatever_is_free(host(FULL, aggregates=aggregates)) == refusal
    assert judge.notes == {}


@pytest.mark.parametrize(
    ("aggregates", "options", "project"),
    [
        (RESERVED, {}, "p2"),
        (RESERVED, {"limit_tenants_to_placement_aggregate": True}, "p1"),
        (RESERVED, {"limit_tenants_to_placement_aggregate": True}, "p2"),
        ({"big": {"instance_type": "eight"}, "secure": {"trait:X": "required"}}, {}, "p2"),
        ({"slow": {"max_instances_per_host": "0"}}, {"isolated_hosts": ["hgx1"]}, "p2"),
    ],
)
def test_a_filter_that_is_not_enabled_refuses_nothing(aggregates, options, project):
    judge = judge_of(ONE, (), aggregates, options, project)
    assert isinstance(judged(judge, host(aggregates=aggregates)), ServerFit)


def test_names_of_projects_replace_ids():
    reserved = {"ml": {"filter_tenant_id": "p1"}, "old": {"filter_tenant_id": "p9"}}
    judge = judge_of(ONE, [ISOLATION], reserved, project="p2", names={"p1": "research"})
    refusal = judged(judge, host(aggregates=reserved))
    assert refusal.detail == "reserved for projects research, p9 (aggregates ml, old)"


def test_hosts_that_are_reserved_for_nobody():
    nobody = {"ml": {"filter_tenant_id": "none"}}
    refusal = judged(judge_of(ONE, [ISOLATION], nobody, project="p2"), host(aggregates=nobody))
    assert refusal.detail == "reserved for projects that do not exist (aggregate ml)"


def test_a_project_uses_only_its_own_aggregate_in_placement():
    options = {"limit_tenants_to_placement_aggregate": True}
    refusal = judged(judge_of(ONE, (), RESERVED, options, "p1"), host())
    assert refusal.label == "by Placement (project)"
    assert refusal.detail.endswith("allows the project's servers only on hosts of ml")


def test_a_flavor_of_some_projects_is_judged_for_these():
    for projects, fits in ((None, True), (("p1", "p2"), True), (("p2",), False), ((), False)):
        flavor = dataclasses.replace(ONE, public=projects is None, projects=projects)
        found = judged(judge_of(flavor, [ISOLATION]), host(aggregates=RESERVED))
        assert isinstance(found, ServerFit) == fits


def test_a_project_without_access_to_the_flavor_is_refused_everywhere():
    flavor = dataclasses.replace(ONE, public=False, projects=("p1",))
    refusal = judged(judge_of(flavor, project="p2"), host())
    assert refusal.label == "by nova-api (project)"
    assert refusal.detail == "the project has no access to flavor one"


def test_filters_are_called_in_their_order():
    # The GPU filter refuses this flavor, too: no node has five GPUs.
    flavor = builders.flavor("five", 5)
    before = judge_of(flavor, [ISOLATION, "NUMATopologyFilter"], project="p2")
    assert judged(before, host(aggregates=RESERVED)).stage is Stage.AGGREGATE_PROJECTS
    late = ["PciPassthroughFilter", "NUMATopologyFilter", ISOLATION]
    after = judge_of(flavor, late, project="p2")
    assert judged(after, host(aggregates=RESERVED)).stage is Stage.GPU_FILTER
    fitting = judge_of(ONE, late, project="p2")
    assert judged(fitting, host(aggregates=RESERVED)).stage is Stage.AGGREGATE_PROJECTS


def test_placement_names_the_lack_of_gpus_before_everything_else():
    aggregates = {"west": {"availability_zone": "west"}, "east": {"availability_zone": "east"}}
    judge = judge_of(ONE, (), aggregates, zone="west")
    east = {"east": aggregates["east"]}
    refusal = judged(judge, host(FULL, aggregates=east))
    assert refusal.constraints == (Constraint.GPUS, Constraint.AGGREGATE)
    assert refusal.detail.endswith(
        "8 in use; the server must be in availability zone west, the host is in east"
    )
    large = judge_of(builders.flavor("large", 1, 500), (), aggregates, zone="west")
    assert judged(large, host(aggregates=east)).constraints == (
        Constraint.AGGREGATE,
        Constraint.VCPUS,
    )


def test_a_zone_without_aggregate_restricts_nothing():
    assert isinstance(judged(judge_of(ONE, zone="nova"), host()), ServerFit)


def test_image_properties_may_require_traits():
    options = {"image_metadata_prefilter": True}
    judge = judge_of(ONE, (), {}, options, image_properties={"hw_vif_model": "virtio"})
    refusal = judged(judge, host())
    assert refusal.label == "by Placement (traits)"
    assert "COMPUTE_NET_VIF_MODEL_VIRTIO, which the image requires" in refusal.detail
    unknown = judge_of(ONE, (), {}, options, image_properties=None)
    assert isinstance(judged(unknown, host()), ServerFit)
    assert "properties of the image of a server that boots from a volume" in "".join(unknown.notes)


def test_filters_that_cannot_be_judged_are_named():
    judge = judge_of(ONE, ["MetricsFilter", "mine.MyFilter", "ComputeFilter"])
    assert isinstance(judged(judge, host()), ServerFit)
    assert list(judge.notes) == [
        (
            "MetricsFilter is not considered, since it depends on metrics of hosts, which Nova's "
            "API does not show"
        ),
        "MyFilter is not considered: it is not one of Nova's filters",
    ]


def test_the_number_of_servers_may_be_limited():
    servers = [builders.server(f"s{number}") for number in range(3)]
    aggregates = {"a": {"max_instances_per_host": "5"}, "b": {"max_instances_per_host": "6"}}
    crowded = host(servers=servers, aggregates=aggregates)
    assert judge_of(ONE).server_limit(crowded) is None
    room, refusal = judge_of(ONE, ["AggregateNumInstancesFilter"]).server_limit(crowded)
    assert (room, refusal.label) == (2, "by AggregateNumInstancesFilter (servers)")
    assert refusal.detail == "the host has 5 servers, and max_instances_per_host is 5"
    names = ["AggregateNumInstancesFilter", "NumInstancesFilter"]
    both = judge_of(ONE, names, {}, {"max_instances_per_host": 3})
    assert both.server_limit(crowded)[0] == 0
    assert judged(both, crowded).label == "by NumInstancesFilter (servers)"
