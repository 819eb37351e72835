# SPDX-License-Identifier: Apache-2.0
"""States of a host after a server is allocated."""

from hypothesis import given, settings

from nova_gpu_passthrough.packing.allocate import GpuLocation, allocate, possible_states
from nova_gpu_passthrough.packing.count_servers import max_servers
from nova_gpu_passthrough.packing.host_state import canonical
from nova_gpu_passthrough.packing.request_class import GpuLocality
from tests.unit.packing.brute_force_servers import ways
from tests.unit.packing.host_states import cell, classes, gpus, host, request_class, states


def form(*cells, **rest):
    return canonical(host(*cells, **rest))


def test_a_guest_uses_its_cells_and_the_host():
    state = host(cell(4), cell(4))
    some = request_class(2, cells=1, vcpus=4, ram_mib=40)
    assert allocate(state, some, [1], {GpuLocation(1, "H100", 0): 2}) == form(
        cell(4), cell(2, cpus=4, ram=40), vcpus=996, ram=960
    )


def test_each_of_two_cells_provides_half():
    some = request_class(2, cells=2, vcpus=4, pinned_cpus=2, ram_mib=41)
    state = host(cell(1, pinned=4), cell(1, pinned=4))
    assert allocate(
        state, some, [0, 1], {GpuLocation(0, "H100", 0): 1, GpuLocation(1, "H100", 0): 1}
    ) == form(
        cell(0, cpus=6, pinned=3, ram=59), cell(0, cpus=6, pinned=3, ram=59), vcpus=996, ram=959
    )


def test_a_guest_without_numa_topology_uses_no_cells():
    state = host(cell(4), cell(4))
    assert allocate(state, request_class(0, vcpus=4, ram_mib=40, disk_gib=1)) == form(
        cell(4), cell(4), vcpus=996, ram=960
    )


def test_each_cell_gives_a_state_and_equal_cells_the_same():
    some = request_class(1, cells=1, vcpus=1)
    assert len(possible_states(form(cell(4), cell(4)), some)) == 1
    assert len(possible_states(form(cell(4), cell(3)), some)) == 2
    assert possible_states(form(cell(0), cell(0)), some) == []


def test_a_sufficient_link_group_is_not_split():
    state = form(loose=gpus(2, link=1) + gpus(4, link=2))
    assert possible_states(state, request_class(2)) == [form(loose=gpus(4, link=2), vcpus=1000)]
    assert possible_states(state, request_class(3)) == [form(loose=gpus(2, link=1) + gpus(1))]
    assert possible_states(state, request_class(5, linked=True)) == []
    assert len(possible_states(state, request_class(5))) == 1


def test_a_single_gpu_comes_from_the_smallest_source():
    state = form(cell(0)._replace(gpus=gpus(1) + gpus(4, link=1)))
    assert possible_states(state, request_class(1, cells=1)) == [form(cell(4, link=1))]


def test_without_numa_topology_gpus_come_from_several_cells_only_if_no_cell_has_enough():
    state = form(cell(2), cell(4))
    assert possible_states(state, request_class(2)) == [
        form(cell(0), cell(4)),
        form(cell(2), cell(2)),
    ]
    assert possible_states(state, request_class(5)) == [form(cell(0), cell(1))]
    assert possible_states(state, request_class(5, gpu_locality=GpuLocality.LOCAL)) == []


def test_gpus_on_the_guests_nodes_come_first():
    state = form(cell(2), cell(4, cpus=0))
    some = request_class(2, cells=1, vcpus=8, gpu_locality=GpuLocality.ANY_NODE)
    assert possible_states(state, some) == [form(cell(0, cpus=0), cell(4, cpus=0), vcpus=992)]
    more = request_class(3, cells=1, vcpus=8, gpu_locality=GpuLocality.ANY_NODE)
    assert possible_states(state, more) == [form(cell(2, cpus=0), cell(1, cpus=0), vcpus=992)]


def test_a_server_without_gpus_may_use_any_cell():
    assert len(possible_states(form(cell(4), cell(3)), request_class(0, cells=1, vcpus=1))) == 2
    assert possible_states(form(cell(4), cell(3)), request_class(0, vcpus=1)) == [
        form(cell(4), cell(3), vcpus=999)
    ]


@settings(max_examples=150, deadline=None)
@given(states(), classes())
def test_states_are_among_those_of_all_placements(state, some):
    state = canonical(state)
    found = possible_states(state, some)
    every = {
        allocate(state, some, cells, {GpuLocation(*location): n for location, n in chosen.items()})
        for cells, chosen in ways(state, some)
    }
    assert set(found) <= every
    assert bool(found) == bool(every)


@settings(max_examples=150, deadline=None)
@given(states(), classes(least_gpus=1))
def test_a_counted_server_can_be_allocated(state, some):
    state = canonical(state)
    assert bool(max_servers(state, some)) <= bool(possible_states(state, some))
    for after in possible_states(state, some):
        assert after.free_gpus == state.free_gpus - some.gpus
        assert max_servers(after, some) <= max(0, max_servers(state, some)) or some.numa_cells > 1
