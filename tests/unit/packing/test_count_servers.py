# SPDX-License-Identifier: Apache-2.0
"""Numbers of servers of a class, and of GPUs, that fit on a host."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nova_gpu_passthrough.packing.count_servers import max_servers, usable_gpus
from nova_gpu_passthrough.packing.host_state import canonical
from nova_gpu_passthrough.packing.request_class import GpuLocality
from tests.unit.packing.brute_force_servers import most_servers
from tests.unit.packing.host_states import cell, classes, gpus, host, request_class, states


@pytest.mark.parametrize(
    "state, amounts, expected",
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
def test_a_host_without_numa_cells(state, amounts, expected):
    assert usable_gpus(state, request_class(**amounts)) == expected


def test_each_cell_is_counted_separately():
    state = host(cell(3), cell(3))
    assert usable_gpus(state, request_class(2, cells=1)) == 4
    assert usable_gpus(state, request_class(2)) == 6
    assert usable_gpus(state, request_class(3, gpu_locality=GpuLocality.LOCAL)) == 6
    assert usable_gpus(state, request_class(4, gpu_locality=GpuLocality.LOCAL)) == 0


def test_a_cell_without_cpus_strands_its_gpus():
    assert (
        usable_gpus(host(cell(4, cpus=3), cell(4, cpus=8)), request_class(1, cells=1, vcpus=2)) == 5
    )


def test_pinned_cpus_are_counted_by_cell():
    state = host(cell(4, pinned=4), cell(4, pinned=9))
    assert usable_gpus(state, request_class(1, cells=1, pinned_cpus=4)) == 3
    assert usable_gpus(host(loose=gpus(8)), request_class(1, pinned_cpus=4)) == 0


def test_two_cells_share_the_gpus_of_both():
    state = host(cell(3), cell(5))
    assert usable_gpus(state, request_class(8, cells=2, vcpus=8)) == 8
    assert usable_gpus(state, request_class(4, cells=2, vcpus=8)) == 8
    # Each server needs half of the first cell's CPUs.
    assert usable_gpus(host(cell(4, cpus=4), cell(4)), request_class(4, cells=2, vcpus=8)) == 4


def test_required_links_separate_the_groups():
    pairs = host(loose=gpus(2, link=1) + gpus(3, link=2) + gpus(3))
    assert usable_gpus(pairs, request_class(2, linked=True)) == 4
    assert usable_gpus(pairs, request_class(1, linked=True)) == 8
    board = host(cell(4, link=1), cell(4, link=1))
    assert usable_gpus(board, request_class(8, cells=2, linked=True)) == 8
    assert (
        usable_gpus(host(cell(4, link=1), cell(4, link=2)), request_class(8, cells=2, linked=True))
        == 0
    )


def test_gpus_of_unknown_nodes_are_not_local():
    state = host(cell(0), cell(0), loose=gpus(4))
    assert usable_gpus(state, request_class(2, cells=1)) == 0
    assert (
        usable_gpus(state, request_class(2, cells=1, gpu_locality=GpuLocality.LOCAL_OR_UNKNOWN))
        == 4
    )
    assert (
        usable_gpus(state, request_class(4, cells=2, gpu_locality=GpuLocality.LOCAL_OR_UNKNOWN))
        == 4
    )


def test_gpus_on_other_nodes_count_if_the_policy_allows():
    state = host(cell(4, cpus=0), cell(0, cpus=8))
    assert usable_gpus(state, request_class(2, cells=1, vcpus=4)) == 0
    assert (
        usable_gpus(state, request_class(2, cells=1, vcpus=4, gpu_locality=GpuLocality.ANY_NODE))
        == 4
    )


def test_servers_without_gpus_are_counted_by_cpus():
    state = host(cell(4), cell(4), vcpus=16)
    assert max_servers(state, request_class(0, vcpus=3)) == 5
    assert max_servers(state, request_class(0, cells=1, vcpus=3)) == 4
    assert max_servers(state, request_class(0, cells=2, vcpus=8)) == 2
    assert usable_gpus(state, request_class(0, vcpus=3)) == 0


@settings(max_examples=150, deadline=None)
@given(states(), classes())
def test_the_number_agrees_with_trying_every_placement(state, some):
    assume(some.vcpus or some.ram_mib or some.gpus or some.pinned_cpus)
    # Without any request, any number fits.
    assume(some.gpus or some.vcpus or some.ram_mib)
    count, best = max_servers(state, some), most_servers(state, some)
    cells = len(state.cells)
    mixed = (
        bool(state.gpus)
        and some.linked
        and some.gpus > 1
        and some.gpu_locality is GpuLocality.LOCAL_OR_UNKNOWN
    )
    if some.numa_cells in (0, 1, cells) and not (mixed and some.numa_cells == 1):
        assert count == best
    else:
        assert count <= best
        assert bool(count) == bool(best) or mixed or some.linked


@settings(max_examples=100, deadline=None)
@given(states(), classes())
def test_the_form_of_a_state_does_not_matter(state, some):
    assert max_servers(canonical(state), some) == max_servers(state, some)


@settings(max_examples=100, deadline=None)
@given(states(), classes(), st.integers(0, 3))
def test_more_capacity_never_fits_fewer_servers(state, some, more):
    wider = state._replace(vcpus=state.vcpus + more, ram_mib=state.ram_mib + more)
    assert max_servers(wider, some) >= max_servers(state, some)
