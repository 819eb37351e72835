# SPDX-License-Identifier: Apache-2.0
"""NUMA cells for guests; scheduler/test_guest_agreement_with_nova.py compares with Nova."""

import pytest

from nova_gpu_passthrough.nova_rules import guest_topology as guests
from nova_gpu_passthrough.nova_rules.guest_fit import (
    GuestState,
    Ratios,
    fit_guest,
    page_size_for,
    pin,
)
from nova_gpu_passthrough.nova_rules.guest_topology import ThreadPolicy
from nova_gpu_passthrough.nova_rules.host_cell import HostCell
from tests.unit.nova_rules import host_capacities


def fitted(cells, vcpus=4, memory=8192, suits=lambda nodes: True, devices=None, **specs):
    """Host nodes of the guest's cells, or None."""
    extra_specs = {"hw:cpu_policy": "dedicated"} | {
        key.replace("__", ":"): value for key, value in specs.items()
    }
    state = GuestState(guests.read(vcpus, memory, extra_specs))
    taken = fit_guest(cells, state, Ratios(), suits, devices, devices is not None)
    return None if taken is None else [one.node for one in taken]


def test_the_emptiest_cell_comes_first():
    assert fitted([host_capacities.cell(0, pinned=4), host_capacities.cell(1)]) == [1]


def test_but_a_cell_with_more_devices_comes_before_it():
    cells = [host_capacities.cell(0, pinned=4), host_capacities.cell(1)]
    assert fitted(cells, devices={0: 2, 1: 1}) == [0]


def test_a_cell_that_does_not_suit_the_devices_is_passed_over():
    assert fitted(
        [host_capacities.cell(0), host_capacities.cell(1)], suits=lambda nodes: list(nodes) == [1]
    ) == [1]


@pytest.mark.parametrize(
    "full", [host_capacities.cell(0, pinned=14), host_capacities.cell(0, used=60000)]
)
def test_a_cell_without_cpus_or_memory_is_passed_over(full):
    assert fitted([full, host_capacities.cell(1)]) == [1]
    assert fitted([full]) is None


def test_two_cells_need_two_nodes():
    assert fitted([host_capacities.cell(0)], hw__numa_nodes="2") is None
    assert fitted([host_capacities.cell(0), host_capacities.cell(1)], hw__numa_nodes="2") == [0, 1]


def test_huge_pages_are_not_small_ones():
    cells = [host_capacities.cell(0), host_capacities.cell(1, huge=0)]
    assert fitted(cells, hw__mem_page_size="1GB") == [1]


def test_shared_vcpus_are_limited_by_the_ratio():
    cell = host_capacities.cell(0, shared=2)
    guest = guests.read(4, 1024, {"hw:numa_nodes": "1"})
    assert fit_guest([cell], GuestState(guest), Ratios(1.0, 1.0))
    used = cell.with_use(0, shared=1)
    assert fit_guest([used], GuestState(guest), Ratios(1.0, 1.0)) is None
    assert fit_guest([used], GuestState(guest), Ratios(2.0, 1.0))
    assert fit_guest([used], GuestState(guest))


@pytest.mark.parametrize(
    ("policy", "count", "expected"),
    [
        # Whole cores first: 2 and 3 are one, 6 and 7 another; of 0 and 1 only 1 is free.
        (None, 4, {2, 3, 4, 5}),
        (ThreadPolicy.PREFER, 7, {1, 2, 3, 4, 5, 6, 7}),
        (ThreadPolicy.REQUIRE, 6, {2, 3, 4, 5, 6, 7}),
        (ThreadPolicy.REQUIRE, 7, None),
        (ThreadPolicy.ISOLATE, 1, None),
        (None, 8, None),
    ],
)
def test_threads_of_cores(policy, count, expected):
    cell = host_capacities.cell(0, cores=4, pinned=1)
    assert pin(cell, count, policy) == expected


def test_isolated_guests_get_whole_cores_without_threads():
    cell = host_capacities.cell(0, cores=4, threads=1)
    assert pin(cell, 3, ThreadPolicy.ISOLATE) == {0, 1, 2}


def test_emulator_threads_get_a_cpu_of_their_own():
    cell = host_capacities.cell(0, cores=2)
    assert pin(cell, 2, extra=1) == {0, 1, 2}
    assert pin(cell, 4, extra=1) is None


def test_a_page_size_that_memory_does_not_fill_is_not_used():
    cell = host_capacities.cell(0, huge=0)
    assert page_size_for(cell, guests.LARGE, 2048) == 1048576
    assert page_size_for(cell, guests.LARGE, 1536) is None
    assert page_size_for(cell, 2048, 2048) is None


def test_cpus_of_another_node_are_found_out():
    """Nova pins a guest of two cells on nodes 1 and 3 of four to CPUs of other nodes, and fails."""
    cells = [host_capacities.cell(number) for number in range(4)]
    guest = guests.read(8, 8192, {"hw:cpu_policy": "dedicated", "hw:numa_nodes": "2"})
    taken = fit_guest(cells, GuestState(guest), suits=lambda nodes: set(nodes) == {1, 3})
    by_id = {cell.id: cell for cell in cells}
    with pytest.raises(ValueError, match="of node"):
        [one.of(by_id[one.node], False) for one in taken]


def test_an_isolated_guest_keeps_the_other_threads_free():
    cell = HostCell(
        0, 1024, dedicated=frozenset(range(4)), siblings=(frozenset((0, 1)), frozenset((2, 3)))
    )
    (taken,) = fit_guest(
        [cell], GuestState(guests.read(1, 512, {"hw:cpu_policy": "dedicated"})), None
    )
    assert taken.of(cell, isolate=True).pinned == {0, 1}
    assert taken.of(cell, isolate=False).pinned == {0}
