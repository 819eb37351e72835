# SPDX-License-Identifier: Apache-2.0
"""The demand of a flavor's servers, compared with what Nova reads from the same flavor."""

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from nova import exception, objects
from nova.pci import request as pci_request
from nova.scheduler import utils

from nova_gpu_passthrough.fleet import demand
from nova_gpu_passthrough.fleet.demand import FlavorError, FlavorSize
from nova_gpu_passthrough.topology.model import NumaPolicy, Preference
from tests.unit.cloud.builders import alias
from tests.unit.scheduler import nova_hosts

ALIASES = demand.by_name([alias("h100"), alias("a-nic", kind="nic"), alias("l40s")])


def read(extra_specs, vcpus=4, ram=4096, **sizes):
    return demand.read(FlavorSize(vcpus, ram, **sizes), extra_specs, ALIASES)


def by_nova(size, extra_specs, translate=True):
    """Return resources, required and forbidden traits of Nova's query to Placement."""
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
    request = utils.ResourceRequest.from_request_spec(spec, translate)
    group = request.get_request_group(None)
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
    FlavorSize,
    st.sampled_from([1, 4]),
    st.sampled_from([2048, 4096]),
    st.sampled_from([0, 10]),
    st.sampled_from([0, 5]),
    st.sampled_from([0, 1, 1024, 1500]),
)


@settings(max_examples=250)
@given(SIZES, specs())
@example(FlavorSize(4, 2048), {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "0-1"})
def test_queries_are_those_that_nova_sends_to_placement(size, extra_specs):
    try:
        nova_hosts.guest(size.vcpus, size.ram_mib, extra_specs)
        expected = by_nova(size, extra_specs)
    except exception.NovaException:
        # nova-api refuses such flavors.
        return
    server_demand = demand.read(size, extra_specs, {}).server_demand
    query = server_demand.query
    resources, required, forbidden = expected
    assert dict(query.resources) == resources
    assert query.required == required
    assert query.forbidden == forbidden | {"COMPUTE_STATUS_DISABLED"}
    pins = extra_specs.get("hw:cpu_policy") == "dedicated"
    assert (server_demand.fallback is not None) == pins
    if server_demand.fallback is not None:
        event("two queries")
        resources, required, forbidden = by_nova(size, extra_specs, translate=False)
        assert dict(server_demand.fallback.resources) == resources
        assert server_demand.fallback.required == required
        assert server_demand.fallback.forbidden == forbidden | {"COMPUTE_STATUS_DISABLED"}


@pytest.mark.parametrize("text", ["h100:2", "h100:1,a-nic:2", " h100 :1, l40s:3"])
def test_aliases_are_read_as_nova_reads_them(text, monkeypatch):
    known = {name: ("legacy", [{}]) for name in ALIASES}
    monkeypatch.setattr(pci_request, "get_alias_from_config", lambda: known)
    flavor = nova_hosts.flavor(4, 4096, {"pci_passthrough:alias": text})
    expected = pci_request.get_pci_requests_from_flavor(flavor, "preferred").requests
    specs = {"pci_passthrough:alias": text, "hw:pci_numa_affinity_policy": "preferred"}
    ours = [request for request, _ in read(specs).server_demand.pci_requests]
    assert [(r.alias, r.count, r.numa_policy.value) for r in ours] == [
        (r.alias_name, r.count, r.numa_policy) for r in expected
    ]


def test_the_policy_of_the_alias_applies_if_the_flavor_has_none():
    strict = demand.by_name([alias("h100", numa_policy="required")])
    found = demand.read(FlavorSize(4, 4096), {"pci_passthrough:alias": "h100:2"}, strict)
    assert found.server_demand.request.gpus[0].numa_policy is NumaPolicy.REQUIRED
    assert (found.gpus, found.models) == (2, ("H100",))


def test_other_devices_are_attached():
    request = read({"pci_passthrough:alias": "a-nic:1,h100:2"}).server_demand.request
    assert [pci_request.alias for pci_request in request.gpus] == ["h100"]
    assert [pci_request.alias for pci_request in request.attached] == ["a-nic"]


def test_gpu_extra_specs_are_read():
    found = read({"pci_passthrough:alias": "h100:2", "gpu:link": "required"})
    assert found.server_demand.request.link is Preference.REQUIRED
    assert found.invalid is None


def test_an_unknown_gpu_extra_spec_is_reported():
    found = read({"pci_passthrough:alias": "h100:2", "gpu:lnk": "required"})
    assert "gpu:lnk is unknown" in found.invalid


@pytest.mark.parametrize(
    ("extra_specs", "words"),
    [
        ({"pci_passthrough:alias": "b200:1"}, "names b200, and the fleet has no such alias"),
        ({"pci_passthrough:alias": "h100"}, "expected NAME:COUNT"),
        ({"pci_passthrough:alias": "h100:0"}, "requests 0 devices of h100"),
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
    ],
)
def test_ignored_extra_specs_are_reported(key):
    assert read({key: "1"}).notes == (f"extra spec {key} is ignored",)


@pytest.mark.parametrize(
    "key",
    ["hw:cpu_sockets", "trait:CUSTOM_X", "resources:VGPU", "gpu:link", "hide_hypervisor_id", "ssd"],
)
def test_other_extra_specs_have_no_note(key):
    assert read({key: "required"}).notes == ()


@pytest.mark.parametrize(
    ("text", "expected"), [("h100:1", True), ("a-nic:1", False), ("b200:1", False), ("h100", False)]
)
def test_gpu_flavors_are_recognized_by_their_aliases(text, expected):
    assert demand.requests_gpus({"pci_passthrough:alias": text}, ALIASES) is expected
