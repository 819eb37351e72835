# SPDX-License-Identifier: Apache-2.0
"""NUMA cells for guests; scheduler/test_guest_fit_against_nova.py compares them with Nova."""

import pytest

from nova_gpu_passthrough.nova_rules import guest_topology as guests
from nova_gpu_passthrough.nova_rules.guest_fit import (
    AllocationRatios,
    GuestFitState,
    fit_guest,
    page_size_for,
    pin_cpus,
)
from nova_gpu_passthrough.nova_rules.guest_topology import ThreadPolicy
from nova_gpu_passthrough.nova_rules.host_cell import HostCell
from tests.unit.nova_rules import host_capacities


def fit(cells, vcpus=4, memory=8192, nodes_allowed=lambda nodes: True, devices=None, **specs):
    """Return the host nodes of the guest's cells, or None."""
    extra_specs = {"hw:cpu_policy": "dedicated"} | {
        key.replace("__", ":"): value for key, value in specs.items()
    }
    state = GuestFitState(guests.from_flavor(vcpus, memory, extra_specs))
    usage = fit_guest(cells, state, AllocationRatios(), nodes_allowed, devices, devices is not None)
    return None if usage is None else [one.node for one in usage]


def test_the_emptiest_cell_comes_first():
    assert fit([host_capacities.cell(0, pinned=4), host_capacities.cell(1)]) == [1]


def test_a_cell_with_more_devices_comes_before_an_emptier_one():
    cells = [host_capacities.cell(0, pinned=4), host_capacities.cell(1)]
    assert fit(cells, devices={0: 2, 1: 1}) == [0]


def test_a_cell_without_the_guests_devices_is_skipped():
    assert fit(
        [host_capacities.cell(0), host_capacities.cell(1)],
        nodes_allowed=lambda nodes: list(nodes) == [1],
    ) == [1]


@pytest.mark.parametrize(
    "full", [host_capacities.cell(0, pinned=14), host_capacities.cell(0, used=60000)]
)
def test_a_cell_without_free_cpus_or_memory_is_skipped(full):
    assert fit([full, host_capacities.cell(1)]) == [1]
    assert fit([full]) is None


def test_two_cells_need_two_nodes():
    assert fit([host_capacities.cell(0)], hw__numa_nodes="2") is None
    assert fit([host_capacities.cell(0), host_capacities.cell(1)], hw__numa_nodes="2") == [0, 1]


def test_huge_pages_need_a_cell_that_has_them():
    cells = [host_capacities.cell(0), host_capacities.cell(1, huge=0)]
    assert fit(cells, hw__mem_page_size="1GB") == [1]


def test_shared_vcpus_are_limited_by_the_ratio():
    cell = host_capacities.cell(0, shared=2)
    guest = guests.from_flavor(4, 1024, {"hw:numa_nodes": "1"})
    assert fit_guest([cell], GuestFitState(guest), AllocationRatios(1.0, 1.0))
    used = cell.consume(0, shared=1)
    assert fit_guest([used], GuestFitState(guest), AllocationRatios(1.0, 1.0)) is None
    assert fit_guest([used], GuestFitState(guest), AllocationRatios(2.0, 1.0))
    assert fit_guest([used], GuestFitState(guest))


@pytest.mark.parametrize(
    ("policy", "count", "expected"),
    [
        # Whole cores first: 2 and 3, 4 and 5, 6 and 7; of the core of 0 and 1 only 1 is free.
        (None, 4, {2, 3, 4, 5}),
        (ThreadPolicy.PREFER, 7, {1, 2, 3, 4, 5, 6, 7}),
        (ThreadPolicy.REQUIRE, 6, {2, 3, 4, 5, 6, 7}),
        (ThreadPolicy.REQUIRE, 7, None),
        (ThreadPolicy.ISOLATE, 1, None),
        (None, 8, None),
    ],
)
def test_thread_policies_select_cpus(policy, count, expected):
    cell = host_capacities.cell(0, cores=4, pinned=1)
    assert pin_cpus(cell, count, policy) == expected


def test_isolated_guests_get_whole_cores_without_threads():
    cell = host_capacities.cell(0, cores=4, threads=1)
    assert pin_cpus(cell, 3, ThreadPolicy.ISOLATE) == {0, 1, 2}


def test_emulator_threads_get_a_separate_cpu():
    cell = host_capacities.cell(0, cores=2)
    assert pin_cpus(cell, 2, extra=1) == {0, 1, 2}
    assert pin_cpus(cell, 4, extra=1) is None


def test_a_page_size_must_divide_the_memory():
    cell = host_capacities.cell(0, huge=0)
    assert page_size_for(cell, guests.LARGE, 2048) == 1048576
    assert page_size_for(cell, guests.LARGE, 1536) is None
    assert page_size_for(cell, 2048, 2048) is None


def test_cpus_of_another_node_raise():
    """Nova pins a guest of two cells on nodes 1 and 3 of four to CPUs of other nodes, and fails."""
    cells = [host_capacities.cell(number) for number in range(4)]
    guest = guests.from_flavor(8, 8192, {"hw:cpu_policy": "dedicated", "hw:numa_nodes": "2"})
    usage = fit_guest(cells, GuestFitState(guest), nodes_allowed=lambda nodes: set(nodes) == {1, 3})
    by_id = {cell.id: cell for cell in cells}
    with pytest.raises(ValueError, match="of node"):
        [one.apply_to(by_id[one.node], False) for one in usage]


def test_an_isolated_guest_blocks_the_other_threads_of_its_cores():
    cell = HostCell(
        0, 1024, dedicated=frozenset(range(4)), siblings=(frozenset((0, 1)), frozenset((2, 3)))
    )
    (usage,) = fit_guest(
        [cell], GuestFitState(guests.from_flavor(1, 512, {"hw:cpu_policy": "dedicated"})), None
    )
    assert usage.apply_to(cell, isolate=True).pinned == {0, 1}
    assert usage.apply_to(cell, isolate=False).pinned == {0}
