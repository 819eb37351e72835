# SPDX-License-Identifier: Apache-2.0
import dataclasses

from nova_gpu_passthrough.cloud.fit import free_capacity, gpu_flavors
from nova_gpu_passthrough.fleet import demand
from nova_gpu_passthrough.topology.fit import FitReason
from tests.unit.cloud import builders, clouds
from tests.unit.generate import builders as inventories

FLEET = clouds.fleet(inventories.hgx("hgx1"), inventories.l40s("l40s1"))


def find(*flavors):
    return gpu_flavors.find(flavors, FLEET)


def demand_of(**extra_specs):
    ((flavor,), _) = find(builders.flavor("one", **extra_specs))
    return flavor.demand


def test_gpu_flavors_are_sorted_by_model_and_size():
    found, notes = find(
        builders.flavor("b", 2),
        builders.flavor("l", alias="l40s"),
        builders.flavor("a", 2),
        builders.flavor("small", 1),
        builders.flavor("cpu", 0),
    )
    assert [one.flavor.name for one in found] == ["small", "a", "b", "l"]
    assert [one.model for one in found] == ["H100-SXM"] * 3 + ["L40S"]
    assert notes == []


def test_a_flavor_of_two_models_has_no_single_model():
    (one,), _ = find(builders.flavor("both", pci_passthrough__alias="h100-sxm:1,l40s:1"))
    assert (one.model, one.demand.models, one.demand.gpus) == (None, ("H100-SXM", "L40S"), 2)


def test_a_flavor_with_companions_only_is_not_a_gpu_flavor():
    assert find(builders.flavor("audio", alias="l40s-audio")) == ((), [])


def test_a_flavor_that_nova_refuses_is_left_out_with_a_note():
    found, (note,) = find(builders.flavor("odd", alias="b200"))
    assert found == ()
    assert note.startswith("flavor odd is left out: pci_passthrough:alias names b200")


def test_numa_cells_are_not_requested_if_numa_nodes_are_not_known():
    host = builders.host(FLEET, "hgx1")
    flavor_demand = demand_of()
    assert (
        gpu_flavors.applicable_demand(free_capacity.of_host(host), flavor_demand)
        is flavor_demand.server_demand
    )
    relaxed = gpu_flavors.applicable_demand(
        free_capacity.of_host(builders.bare(host)), flavor_demand
    )
    assert (relaxed.guest.cells, relaxed.request.guest_cells) == ((), ())


def test_an_invalid_extra_spec_is_refused_as_by_the_filter():
    assert gpu_flavors.extra_spec_refusal(demand_of()) is None
    refusal = gpu_flavors.extra_spec_refusal(demand_of(gpu__lnk="required"))
    assert refusal.reason is FitReason.INVALID_REQUEST


def test_notes_of_the_view_are_uncertainties_of_the_host():
    host = builders.host(FLEET, "hgx1")
    view = builders.view(host, notes=("hgx1: 3 PCPU in Placement", "hgx10: is down"))
    assert gpu_flavors.uncertainties(view, host, demand_of()) == ["hgx1: 3 PCPU in Placement"]


def test_a_host_without_inventory_is_uncertain_if_numa_nodes_matter():
    host = builders.bare(builders.host(FLEET, "hgx1"))
    (note,) = gpu_flavors.uncertainties(builders.view(host), host, demand_of())
    assert note.startswith("hgx1: the fleet has no inventory of it, so its NUMA nodes")
    plain = demand_of(hw__cpu_policy=None, hw__numa_nodes=None)
    assert gpu_flavors.uncertainties(builders.view(host), host, plain) == []


def test_a_host_whose_numa_nodes_may_not_be_read_is_uncertain():
    host = dataclasses.replace(builders.host(FLEET, "hgx1"), numa=(), cells_known=False)
    (note,) = gpu_flavors.uncertainties(builders.view(host), host, demand_of())
    assert note.startswith("hgx1: what servers use of its NUMA nodes is not readable without role")


def test_size_of_a_flavor():
    assert gpu_flavors.size(builders.flavor("one", vcpus=3)) == demand.FlavorSize(3, 8192, 10)
