# SPDX-License-Identifier: Apache-2.0
"""The desired state of a cloud for a fleet."""

import dataclasses
from types import SimpleNamespace

import pytest

from nova_gpu_passthrough.fleet import derive_state, device_spec
from nova_gpu_passthrough.fleet.desired_state import Flavor
from nova_gpu_passthrough.fleet.model import AliasRule, FixedFlavor, FlavorRule
from tests.unit.generate import builders
from tests.unit.generate.fleets import resolved


def make(*inventories, **keys):
    found, plan = derive_state.make(resolved(*inventories, **keys))
    assert found.flavors == plan.flavors
    return found


def test_every_trait_and_resource_class_of_the_devices_is_desired():
    found = resolved(builders.hgx(), builders.l40s(), builders.with_vfs())
    made, _ = derive_state.make(found)
    entries = [
        entry
        for offer in found.offers
        for entry in device_spec.make(offer, found.aliases, found.settings)
    ]
    traits = {trait for entry in entries for trait in entry["traits"].split(",") if trait}
    assert set(made.traits) == traits
    assert set(made.resource_classes) == {entry["resource_class"] for entry in entries}
    assert list(made.traits) == sorted(made.traits)


def test_standard_resource_classes_are_not_created():
    made = make(builders.l40s(), aliases=(AliasRule("L40S", resource_class="PGPU"),))
    assert made.resource_classes == ("CUSTOM_GPU_L40S_AUDIO",)
    assert made.aliases == {"l40s": "PGPU"}


def test_traits_and_resource_classes_of_flavors_are_desired():
    specs = {
        "trait:CUSTOM_FAST": "required",
        "trait1:HW_CPU_X86_AVX2": "required",
        "resources:CUSTOM_MIG": "1",
        "resources:VGPU": "1",
    }
    made = make(builders.hgx(), fixed_flavors=(FixedFlavor("f", 1, 1024, extra_specs=specs),))
    assert "CUSTOM_FAST" in made.traits
    assert "HW_CPU_X86_AVX2" not in made.traits
    assert "CUSTOM_MIG" in made.resource_classes
    assert "VGPU" not in made.resource_classes


def test_the_trait_of_a_group_is_desired():
    groups = {"a": [builders.hgx("a1")], "b": [builders.hgx("b1")]}
    made = make(groups=groups, flavors=(FlavorRule("H100-SXM", groups=("a",)),))
    assert "CUSTOM_GPU_GROUP_A" in made.traits


def test_each_group_is_an_aggregate():
    groups = {"z": [builders.hgx("h2"), builders.hgx("h1")], "a": [builders.l40s("l1")]}
    first, second = make(groups=groups, modes={"a": "vgpu"}).aggregates
    assert (first.name, first.hosts, first.metadata) == (
        "gpu-a",
        ("l1",),
        {"gpu_mode": "vgpu"},
    )
    assert (second.name, second.hosts) == ("gpu-z", ("h1", "h2"))
    assert second.metadata == {
        "gpu_mode": "passthrough",
        # The flavor with one GPU has least for each GPU.
        "gpu_passthrough:reserved_pcpus_per_gpu": "2",
        "gpu_passthrough:reserved_ram_mib_per_gpu": str(62 * 1024),
    }


@pytest.mark.parametrize(
    ("policy", "reserved"),
    [
        ({"hw:cpu_policy": "dedicated"}, {"pcpus": 8}),
        ({"hw:cpu_policy": "shared"}, {"vcpus": 8}),
        ({"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "^0-3"}, {"pcpus": 6, "vcpus": 2}),
    ],
)
def test_cpus_are_reserved_by_kind(policy, reserved):
    flavor = Flavor("f", 16, 4096, 10, {**policy, "pci_passthrough:alias": "h100-sxm:2"}, gpus=2)
    plan = SimpleNamespace(flavors=(flavor,), hosts={"f": ("hgx1",)})
    found = derive_state._reserved(plan, ("hgx1",))
    assert found == {
        **{f"reserved_{kind}_per_gpu": count for kind, count in reserved.items()},
        "reserved_ram_mib_per_gpu": 2048,
    }


def test_the_operator_s_metadata_has_priority():
    found = resolved(builders.hgx())
    (group,) = found.file.groups
    group = dataclasses.replace(
        group,
        aggregate="mine",
        availability_zone="az1",
        metadata={"gpu_passthrough:reserved_pcpus_per_gpu": "0", "rack": "7"},
    )
    file = dataclasses.replace(found.file, groups=(group,))
    found = dataclasses.replace(found, file=file, groups=dict.fromkeys(found.groups, group))
    (aggregate,) = derive_state.make(found)[0].aggregates
    assert (aggregate.name, aggregate.availability_zone) == ("mine", "az1")
    assert aggregate.metadata["gpu_passthrough:reserved_pcpus_per_gpu"] == "0"
    assert aggregate.metadata["rack"] == "7"


def test_the_order_of_hosts_does_not_matter():
    hosts = [builders.hgx("a"), builders.l40s("b"), builders.hgx("c")]
    assert make(*hosts) == make(*reversed(hosts))
