# SPDX-License-Identifier: Apache-2.0
"""What servers of a flavor need, against what Nova makes of the same flavor."""

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from nova import exception, objects
from nova.pci import request as pci_request
from nova.scheduler import utils

from nova_gpu_passthrough.fleet import demand as requests
from nova_gpu_passthrough.fleet.demand import FlavorError, Size
from nova_gpu_passthrough.topology.model import NumaPolicy, Preference
from tests.unit.cloud.builders import alias
from tests.unit.scheduler import nova_hosts

ALIASES = requests.by_name([alias("h100"), alias("a-nic", kind="nic"), alias("l40s")])


def read(extra_specs, vcpus=4, ram=4096, **sizes):
    return requests.read(Size(vcpus, ram, **sizes), extra_specs, ALIASES)


def by_nova(size, extra_specs, translate=True):
    """Resources, required and forbidden traits that Nova asks Placement for."""
    spec = objects.RequestSpec(
        flavor=objects.Flavor(
            vcpus=size.vcpus,
            memory_mb=size.ram_mib,
            root_gb=size.disk_gib,
            ephemeral_gb=size.ephemeral_gib,
            swap=size.swap_mib,
            extra_specs=extra_specs,
        ),
        image=nova_hosts.image(),
        is_bfv=False,
        requested_resources=[],
        request_level_params=objects.RequestLevelParams(),
    )
    asked = utils.ResourceRequest.from_request_spec(spec, translate)
    group = asked.get_request_group(None)
    return dict(group.resources), set(group.required_traits), set(group.forbidden_traits)


SPECS = {
    "hw:cpu_policy": ["dedicated", "dedicated", "shared", "mixed"],
    "hw:cpu_thread_policy": ["prefer", "isolate", "require"],
    "hw:emulator_threads_policy": ["isolate", "share"],
    "hw:cpu_dedicated_mask": ["0-1", "^0"],
    "hw:mem_page_size": ["1GB", "small"],
    "hw:maxphysaddr_mode": ["passthrough", "emulate"],
    "hw:pci_numa_affinity_policy": ["socket", "required"],
    "hw:tpm_version": ["1.2", "2.0"],
    "hw:tpm_model": ["tpm-tis", "tpm-crb"],
    "os:secure_boot": ["required", "optional"],
    "resources:PCPU": ["4", "5"],
    "resources:VCPU": ["4", "0"],
    "resources:MEMORY_MB": ["0", "2048"],
    "resources:DISK_GB": ["0", "many"],
    "resources:CUSTOM_LICENCE": ["1"],
    "resources:VGPU": ["1"],
    "resources:UNKNOWN": ["1"],
    "trait:CUSTOM_FAST": ["required", "forbidden", "perhaps"],
    "trait:HW_CPU_X86_AVX2": ["required"],
}


@st.composite
def specs(draw):
    keys = draw(st.lists(st.sampled_from(sorted(SPECS)), max_size=6, unique=True))
    return {key: draw(st.sampled_from(SPECS[key])) for key in keys}


SIZES = st.builds(
    Size,
    st.sampled_from([1, 4]),
    st.sampled_from([2048, 4096]),
    st.sampled_from([0, 10]),
    st.sampled_from([0, 5]),
    st.sampled_from([0, 1, 1024, 1500]),
)


@settings(max_examples=250)
@given(SIZES, specs())
@example(Size(4, 2048), {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "0-1"})
def test_placement_is_asked_for_what_nova_asks(size, extra_specs):
    try:
        nova_hosts.guest(size.vcpus, size.ram_mib, extra_specs)
        theirs = by_nova(size, extra_specs)
    except exception.NovaException:
        # Whatever it is, nova-api refuses such flavors.
        return
    needs = requests.read(size, extra_specs, {}).needs
    query = needs.query
    resources, required, forbidden = theirs
    assert dict(query.resources) == resources
    assert query.required == required
    assert query.forbidden == forbidden | {"COMPUTE_STATUS_DISABLED"}
    pins = extra_specs.get("hw:cpu_policy") == "dedicated"
    assert (needs.fallback is not None) == pins
    if needs.fallback is not None:
        event("asks twice")
        resources, required, forbidden = by_nova(size, extra_specs, translate=False)
        assert dict(needs.fallback.resources) == resources
        assert needs.fallback.required == required
        assert needs.fallback.forbidden == forbidden | {"COMPUTE_STATUS_DISABLED"}


@pytest.mark.parametrize("text", ["h100:2", "h100:1,a-nic:2", " h100 :1, l40s: 3"])
def test_aliases_are_read_as_nova_reads_them(text, monkeypatch):
    known = {name: ("legacy", [{}]) for name in ALIASES}
    monkeypatch.setattr(pci_request, "get_alias_from_config", lambda: known)
    flavor = nova_hosts.flavor(4, 4096, {"pci_passthrough:alias": text})
    theirs = pci_request.get_pci_requests_from_flavor(flavor, "preferred").requests
    specs = {"pci_passthrough:alias": text, "hw:pci_numa_affinity_policy": "preferred"}
    ours = [demand for demand, _ in read(specs).needs.demands]
    assert [(d.alias, d.count, d.numa_policy.value) for d in ours] == [
        (r.alias_name, r.count, r.numa_policy) for r in theirs
    ]


def test_the_aliass_policy_holds_where_the_flavor_has_none():
    strict = requests.by_name([alias("h100", numa_policy="required")])
    asked = requests.read(Size(4, 4096), {"pci_passthrough:alias": "h100:2"}, strict)
    assert asked.needs.request.gpus[0].numa_policy is NumaPolicy.REQUIRED
    assert (asked.gpus, asked.models) == (2, ("H100",))


def test_other_devices_are_attached():
    request = read({"pci_passthrough:alias": "a-nic:1,h100:2"}).needs.request
    assert [demand.alias for demand in request.gpus] == ["h100"]
    assert [demand.alias for demand in request.attached] == ["a-nic"]


def test_wishes_are_those_of_the_filter():
    asked = read({"pci_passthrough:alias": "h100:2", "gpu:link": "required"})
    assert asked.needs.request.link is Preference.REQUIRED
    assert asked.invalid is None


def test_a_wish_that_the_filter_does_not_know_is_told():
    asked = read({"pci_passthrough:alias": "h100:2", "gpu:lnk": "required"})
    assert "gpu:lnk is unknown" in asked.invalid


@pytest.mark.parametrize(
    ("extra_specs", "words"),
    [
        ({"pci_passthrough:alias": "b200:1"}, "b200, which is no alias of the fleet"),
        ({"pci_passthrough:alias": "h100"}, "expected NAME:COUNT"),
        ({"pci_passthrough:alias": "h100:0"}, "asks for 0 devices of h100"),
        ({"pci_passthrough:alias": "h100:1", "hw:pci_numa_affinity_policy": "near"}, "'near'"),
        ({"hw:numa_nodes": "3"}, "cannot be divided by hw:numa_nodes=3"),
    ],
)
def test_a_flavor_that_nova_refuses_is_refused_with_a_reason(extra_specs, words):
    with pytest.raises(FlavorError, match=words):
        read(extra_specs)


@pytest.mark.parametrize(
    "key",
    [
        "hw:pmem",
        "resources1:VGPU",
        "trait_GPU:CUSTOM_X",
        "capabilities:vcpus",
        "aggregate_instance_extra_specs:ssd",
        "ssd",
    ],
)
def test_what_is_not_looked_at_is_told(key):
    assert read({key: "1"}).notes == (f"extra spec {key} is not looked at",)


@pytest.mark.parametrize(
    "key", ["hw:cpu_sockets", "trait:CUSTOM_X", "resources:VGPU", "gpu:link", "hide_hypervisor_id"]
)
def test_what_is_looked_at_or_does_not_matter_makes_no_note(key):
    assert read({key: "required"}).notes == ()


@pytest.mark.parametrize(
    ("text", "answer"), [("h100:1", True), ("a-nic:1", False), ("b200:1", False), ("h100", False)]
)
def test_gpu_flavors_are_told_by_their_aliases(text, answer):
    assert requests.asks_for_gpus({"pci_passthrough:alias": text}, ALIASES) is answer
