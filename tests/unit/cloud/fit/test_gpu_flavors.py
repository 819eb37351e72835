# SPDX-License-Identifier: Apache-2.0
from nova_gpu_passthrough.cloud.fit import gpu_flavors, host_capacity
from nova_gpu_passthrough.fleet import demand
from nova_gpu_passthrough.topology.fit import Reason
from tests.unit.cloud import builders, clouds
from tests.unit.generate import builders as inventories

FLEET = clouds.fleet(inventories.hgx("hgx1"), inventories.l40s("l40s1"))


def find(*flavors):
    return gpu_flavors.find(flavors, FLEET)


def asked(**extra_specs):
    ((flavor,), _) = find(builders.flavor("one", **extra_specs))
    return flavor.asked


def test_gpu_flavors_come_by_model_and_size():
    names = ["b", "l", "a", "cpu"]
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
    assert "cpu" in names


def test_a_flavor_of_two_models_has_none():
    (one,), _ = find(builders.flavor("both", pci_passthrough__alias="h100-sxm:1,l40s:1"))
    assert (one.model, one.asked.models, one.asked.gpus) == (None, ("H100-SXM", "L40S"), 2)


def test_companions_alone_make_no_gpu_flavor():
    assert find(builders.flavor("audio", alias="l40s-audio")) == ((), [])


def test_a_flavor_that_nova_refuses_is_left_out_with_a_word():
    found, (note,) = find(builders.flavor("odd", alias="b200"))
    assert found == ()
    assert note.startswith("flavor odd is left out: pci_passthrough:alias names b200")


def test_numa_cells_are_not_asked_for_where_no_nodes_are_known():
    host = builders.host(FLEET, "hgx1")
    wanted = asked()
    assert gpu_flavors.fitting(host_capacity.room(host), wanted) is wanted.needs
    easier = gpu_flavors.fitting(host_capacity.room(builders.bare(host)), wanted)
    assert (easier.guest.cells, easier.request.guest_cells) == ((), ())


def test_an_unknown_wish_is_refused_in_the_filters_words():
    assert gpu_flavors.invalid(asked()) is None
    refused = gpu_flavors.invalid(asked(gpu__lnk="required"))
    assert refused.reason is Reason.INVALID_REQUEST


def test_doubts_of_the_view_are_doubts_of_the_host():
    host = builders.host(FLEET, "hgx1")
    view = builders.view(host, notes=("hgx1: 3 PCPU in Placement", "hgx10: is down"))
    assert gpu_flavors.doubts(view, host, asked()) == ["hgx1: 3 PCPU in Placement"]


def test_a_host_without_inventory_is_doubtful_for_who_needs_numa_nodes():
    host = builders.bare(builders.host(FLEET, "hgx1"))
    (doubt,) = gpu_flavors.doubts(builders.view(host), host, asked())
    assert doubt.startswith("hgx1: no inventory of the fleet tells its NUMA nodes")
    plain = asked(hw__cpu_policy=None, hw__numa_nodes=None)
    assert gpu_flavors.doubts(builders.view(host), host, plain) == []


def test_sizes_are_the_flavors():
    assert gpu_flavors.size(builders.flavor("one", vcpus=3)) == demand.Size(3, 8192, 10)
