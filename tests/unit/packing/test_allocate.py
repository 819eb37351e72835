# SPDX-License-Identifier: Apache-2.0
"""What is left of a host once a server is on it."""

from hypothesis import given, settings

from nova_gpu_passthrough.packing.allocate import Place, placements, taken
from nova_gpu_passthrough.packing.count_servers import servers
from nova_gpu_passthrough.packing.host_state import canonical
from nova_gpu_passthrough.packing.request_class import Reach
from tests.unit.packing.brute_force_servers import ways
from tests.unit.packing.host_states import cell, classes, gpus, host, states, wanted


def left(*cells, **rest):
    return canonical(host(*cells, **rest))


def test_a_guest_takes_from_its_cells_and_from_the_host():
    state = host(cell(4), cell(4))
    some = wanted(2, cells=1, vcpus=4, ram_mib=40)
    assert taken(state, some, [1], {Place(1, "H100", 0): 2}) == left(
        cell(4), cell(2, cpus=4, ram=40), vcpus=996, ram=960
    )


def test_two_cells_give_a_half_each():
    some = wanted(2, cells=2, vcpus=4, pinned_cpus=2, ram_mib=41)
    state = host(cell(1, pinned=4), cell(1, pinned=4))
    assert taken(state, some, [0, 1], {Place(0, "H100", 0): 1, Place(1, "H100", 0): 1}) == left(
        cell(0, cpus=6, pinned=3, ram=59), cell(0, cpus=6, pinned=3, ram=59), vcpus=996, ram=959
    )


def test_a_guest_without_numa_topology_takes_nothing_of_the_cells():
    state = host(cell(4), cell(4))
    assert taken(state, wanted(0, vcpus=4, ram_mib=40, disk_gib=1)) == left(
        cell(4), cell(4), vcpus=996, ram=960
    )


def test_every_cell_is_a_choice_and_like_ones_are_the_same():
    some = wanted(1, cells=1, vcpus=1)
    assert len(placements(left(cell(4), cell(4)), some)) == 1
    assert len(placements(left(cell(4), cell(3)), some)) == 2
    assert placements(left(cell(0), cell(0)), some) == []


def test_link_groups_that_suffice_are_not_split():
    state = left(loose=gpus(2, link=1) + gpus(4, link=2))
    assert placements(state, wanted(2)) == [left(loose=gpus(4, link=2), vcpus=1000)]
    assert placements(state, wanted(3)) == [left(loose=gpus(2, link=1) + gpus(1))]
    assert placements(state, wanted(5, linked=True)) == []
    assert len(placements(state, wanted(5))) == 1


def test_a_single_gpu_comes_from_the_smallest_place():
    state = left(cell(0)._replace(gpus=gpus(1) + gpus(4, link=1)))
    assert placements(state, wanted(1, cells=1)) == [left(cell(4, link=1))]


def test_without_numa_topology_several_cells_give_only_what_one_has_not():
    state = left(cell(2), cell(4))
    assert placements(state, wanted(2)) == [left(cell(0), cell(4)), left(cell(2), cell(2))]
    assert placements(state, wanted(5)) == [left(cell(0), cell(1))]
    assert placements(state, wanted(5, reach=Reach.NEAR)) == []


def test_near_gpus_come_before_far_ones():
    state = left(cell(2), cell(4, cpus=0))
    some = wanted(2, cells=1, vcpus=8, reach=Reach.ANYWHERE)
    assert placements(state, some) == [left(cell(0, cpus=0), cell(4, cpus=0), vcpus=992)]
    more = wanted(3, cells=1, vcpus=8, reach=Reach.ANYWHERE)
    assert placements(state, more) == [left(cell(2, cpus=0), cell(1, cpus=0), vcpus=992)]


def test_a_server_without_gpus_may_go_to_any_cell():
    assert len(placements(left(cell(4), cell(3)), wanted(0, cells=1, vcpus=1))) == 2
    assert placements(left(cell(4), cell(3)), wanted(0, vcpus=1)) == [
        left(cell(4), cell(3), vcpus=999)
    ]


@settings(max_examples=150, deadline=None)
@given(states(), classes())
def test_placements_are_among_all_that_there_are(state, some):
    state = canonical(state)
    found = placements(state, some)
    every = {
        taken(state, some, cells, {Place(*place): n for place, n in chosen.items()})
        for cells, chosen in ways(state, some)
    }
    assert set(found) <= every
    assert bool(found) == bool(every)


@settings(max_examples=150, deadline=None)
@given(states(), classes(least_gpus=1))
def test_a_server_that_is_counted_can_be_placed(state, some):
    state = canonical(state)
    assert bool(servers(state, some)) <= bool(placements(state, some))
    for after in placements(state, some):
        assert after.free_gpus == state.free_gpus - some.gpus
        assert servers(after, some) <= max(0, servers(state, some)) or some.numa_cells > 1
