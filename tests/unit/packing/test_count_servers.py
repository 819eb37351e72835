# SPDX-License-Identifier: Apache-2.0
"""How many servers of a class, and so how many GPUs, a host still has room for."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nova_gpu_passthrough.packing.count_servers import servers, usable
from nova_gpu_passthrough.packing.host_state import canonical
from nova_gpu_passthrough.packing.request_class import Reach
from tests.unit.packing.brute_force_servers import most_servers
from tests.unit.packing.host_states import cell, classes, gpus, host, states, wanted


@pytest.mark.parametrize(
    "state, needs, expected",
    [
        (host(loose=gpus(8)), {"count": 2}, 8),
        (host(loose=gpus(7)), {"count": 2}, 6),
        (host(loose=gpus(8), vcpus=12), {"count": 1, "vcpus": 4}, 3),
        (host(loose=gpus(8), ram=99), {"count": 2, "ram_mib": 50}, 2),
        (host(loose=gpus(8), disk=10), {"count": 1, "disk_gib": 4}, 2),
        (host(loose=gpus(8)), {"count": 1, "model": "L40S"}, 0),
        (host(loose=gpus(8) + gpus(2, "L40S")), {"count": 2, "model": "L40S"}, 2),
    ],
)
def test_a_host_without_numa_cells(state, needs, expected):
    assert usable(state, wanted(**needs)) == expected


def test_each_cell_counts_for_itself():
    state = host(cell(3), cell(3))
    assert usable(state, wanted(2, cells=1)) == 4
    assert usable(state, wanted(2)) == 6
    assert usable(state, wanted(3, reach=Reach.NEAR)) == 6
    assert usable(state, wanted(4, reach=Reach.NEAR)) == 0


def test_a_cell_without_cpus_strands_its_gpus():
    assert usable(host(cell(4, cpus=3), cell(4, cpus=8)), wanted(1, cells=1, vcpus=2)) == 5


def test_pinned_cpus_are_counted_by_cell():
    state = host(cell(4, pinned=4), cell(4, pinned=9))
    assert usable(state, wanted(1, cells=1, pinned_cpus=4)) == 3
    assert usable(host(loose=gpus(8)), wanted(1, pinned_cpus=4)) == 0


def test_two_cells_share_the_gpus_of_both():
    state = host(cell(3), cell(5))
    assert usable(state, wanted(8, cells=2, vcpus=8)) == 8
    assert usable(state, wanted(4, cells=2, vcpus=8)) == 8
    # Of the first cell's CPUs, each of the servers needs a half.
    assert usable(host(cell(4, cpus=4), cell(4)), wanted(4, cells=2, vcpus=8)) == 4


def test_links_that_are_required_keep_groups_apart():
    pairs = host(loose=gpus(2, link=1) + gpus(3, link=2) + gpus(3))
    assert usable(pairs, wanted(2, linked=True)) == 4
    assert usable(pairs, wanted(1, linked=True)) == 8
    board = host(cell(4, link=1), cell(4, link=1))
    assert usable(board, wanted(8, cells=2, linked=True)) == 8
    assert usable(host(cell(4, link=1), cell(4, link=2)), wanted(8, cells=2, linked=True)) == 0


def test_gpus_of_unknown_nodes_serve_all_but_those_that_require_nodes():
    state = host(cell(0), cell(0), loose=gpus(4))
    assert usable(state, wanted(2, cells=1)) == 0
    assert usable(state, wanted(2, cells=1, reach=Reach.NOT_FAR)) == 4
    assert usable(state, wanted(4, cells=2, reach=Reach.NOT_FAR)) == 4


def test_far_gpus_count_where_the_policy_allows():
    state = host(cell(4, cpus=0), cell(0, cpus=8))
    assert usable(state, wanted(2, cells=1, vcpus=4)) == 0
    assert usable(state, wanted(2, cells=1, vcpus=4, reach=Reach.ANYWHERE)) == 4


def test_servers_without_gpus_use_none_and_are_counted_by_cpus():
    state = host(cell(4), cell(4), vcpus=16)
    assert servers(state, wanted(0, vcpus=3)) == 5
    assert servers(state, wanted(0, cells=1, vcpus=3)) == 4
    assert servers(state, wanted(0, cells=2, vcpus=8)) == 2
    assert usable(state, wanted(0, vcpus=3)) == 0


@settings(max_examples=150, deadline=None)
@given(states(), classes())
def test_the_number_is_what_trying_every_placement_finds(state, some):
    assume(some.vcpus or some.ram_mib or some.gpus or some.pinned_cpus)
    # Without any need there is no end.
    assume(some.gpus or some.vcpus or some.ram_mib)
    found, best = servers(state, some), most_servers(state, some)
    cells = len(state.cells)
    mixed = bool(state.gpus) and some.linked and some.gpus > 1 and some.reach is Reach.NOT_FAR
    if some.numa_cells in (0, 1, cells) and not (mixed and some.numa_cells == 1):
        assert found == best
    else:
        assert found <= best
        assert bool(found) == bool(best) or mixed or some.linked


@settings(max_examples=100, deadline=None)
@given(states(), classes())
def test_the_form_of_a_state_does_not_matter(state, some):
    assert servers(canonical(state), some) == servers(state, some)


@settings(max_examples=100, deadline=None)
@given(states(), classes(), st.integers(0, 3))
def test_more_room_never_makes_for_fewer(state, some, more):
    wider = state._replace(vcpus=state.vcpus + more, ram_mib=state.ram_mib + more)
    assert servers(wider, some) >= servers(state, some)
