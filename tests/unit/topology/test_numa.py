# SPDX-License-Identifier: Apache-2.0
"""NUMA nodes and devices that a guest may use."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nova_gpu_passthrough.topology import numa
from nova_gpu_passthrough.topology.model import (
    FreeDevice,
    GuestCell,
    NumaCell,
    NumaPolicy,
    PciRequest,
    Preference,
)
from nova_gpu_passthrough.topology.numa import guest_may_fit, node_sets, usable_devices
from tests.unit.builders import gpu, gpu_request, host_gpus, numbers


def cell(number, shared=16, pinned=16, memory=1000, free=1000, socket=None):
    return NumaCell(number, socket, shared, pinned, memory, free)


def sets(host, request):
    return [nodes and sorted(nodes) for nodes in node_sets(host, request)]


def test_without_numa_requirements_all_nodes_are_one_set():
    host = host_gpus([gpu(1, node=0), gpu(2, node=1)])
    assert sets(host, gpu_request()) == [None]


def test_attached_devices_add_a_set_for_each_node():
    host = host_gpus([gpu(1, node=0), gpu(2, node=3)], {"nic": ()})
    assert sets(host, gpu_request(attached=(PciRequest("nic", "nic", 1),))) == [None, [0], [3]]


def test_required_numa_tries_one_node_at_a_time():
    host = host_gpus([gpu(1, node=2), gpu(2, node=5), gpu(3, node=None)])
    assert sets(host, gpu_request(numa=Preference.REQUIRED)) == [[2], [5]]


def test_sets_have_as_many_nodes_as_the_guest_has_cells():
    host = host_gpus([gpu(1)], cells=[cell(0), cell(1), cell(2)])
    request = gpu_request(guest_cells=(GuestCell(1, 0, 1), GuestCell(1, 0, 1)))
    assert sets(host, request) == [[0, 1], [0, 2], [1, 2]]


def test_nodes_without_free_cpus_are_not_tried():
    host = host_gpus([gpu(1)], cells=[cell(0, pinned=1), cell(1), cell(2)])
    assert sets(host, gpu_request(guest_cells=(GuestCell(0, 2, 1),))) == [[1], [2]]


@pytest.mark.parametrize(
    "guest, fits",
    [
        (GuestCell(16, 0, 1000), True),
        (GuestCell(17, 0, 1), False),
        (GuestCell(0, 8, 1), True),
        (GuestCell(0, 9, 1), False),
        # Shared memory may be overcommitted, a pinned guest's may not.
        (GuestCell(1, 0, 1000), True),
        (GuestCell(1, 0, 1001), False),
        (GuestCell(0, 1, 500), True),
        (GuestCell(0, 1, 501), False),
    ],
)
def test_a_guest_cell_needs_cpus_and_memory(guest, fits):
    assert guest_may_fit([cell(0, pinned=8, free=500)], (guest,), (0,)) is fits


def test_guest_cells_may_use_the_nodes_in_any_order():
    cells = [cell(0, pinned=2), cell(1, pinned=8)]
    assert guest_may_fit(cells, (GuestCell(0, 8, 1), GuestCell(0, 2, 1)), (0, 1))
    assert not guest_may_fit(cells, (GuestCell(0, 8, 1), GuestCell(0, 3, 1)), (0, 1))


def test_two_guest_cells_do_not_share_a_node():
    assert not guest_may_fit([cell(0)], (GuestCell(0, 1, 1), GuestCell(0, 1, 1)), (0,))


def test_a_guest_without_cells_fits_anywhere():
    assert guest_may_fit([], (), ())


GUEST = (GuestCell(1, 0, 1),)
CELLS = [cell(n, socket=n // 2) for n in range(4)]
GPUS = [gpu(number, node=number) for number in range(4)] + [gpu(9, node=None)]


def allowed(policy, count, nodes=(0,), gpus=GPUS, cells=CELLS, **fields):
    request = gpu_request(guest_cells=fields.pop("guest_cells", GUEST), **fields)
    host = host_gpus(gpus, cells=cells)
    return numbers(usable_devices(host, request, policy, gpus, frozenset(nodes), count))


@pytest.mark.parametrize("policy", NumaPolicy)
def test_enough_devices_on_the_nodes_exclude_all_others(policy):
    assert allowed(policy, 1) == [0]
    assert allowed(policy, 2, nodes=(0, 1)) == [0, 1]


@pytest.mark.parametrize(
    "policy, count, expected",
    [
        (NumaPolicy.REQUIRED, 2, [0]),
        (NumaPolicy.SOCKET, 2, [0, 1]),
        (NumaPolicy.SOCKET, 3, [0, 1]),
        (NumaPolicy.LEGACY, 2, [0, 9]),
        (NumaPolicy.LEGACY, 3, [0, 9]),
        (NumaPolicy.PREFERRED, 2, [0, 9]),
        (NumaPolicy.PREFERRED, 3, [0, 1, 2, 3, 9]),
    ],
)
def test_with_too_few_devices_on_the_nodes_the_policy_allows_others(policy, count, expected):
    assert allowed(policy, count) == expected


def test_unknown_sockets_are_not_shared():
    cells = [cell(n) for n in range(4)]
    assert allowed(NumaPolicy.SOCKET, 2, cells=cells) == []


def test_required_numa_overrides_a_softer_policy():
    assert allowed(NumaPolicy.PREFERRED, 2, numa=Preference.REQUIRED) == [0]


def test_without_guest_cells_the_policy_has_no_effect():
    assert allowed(NumaPolicy.REQUIRED, 3, guest_cells=()) == [0, 1, 2, 3, 9]


def test_all_nodes_mean_all_devices():
    request = gpu_request(guest_cells=GUEST)
    assert usable_devices(host_gpus(GPUS), request, NumaPolicy.REQUIRED, GPUS, None, 1) == GPUS


def test_other_devices_without_guest_cells_may_be_anywhere():
    nics = [FreeDevice("n0", 0), FreeDevice("n1", 1)]
    request = gpu_request(numa=Preference.REQUIRED)
    host = host_gpus(GPUS)
    usable = usable_devices(
        host, request, NumaPolicy.REQUIRED, nics, frozenset((0,)), 1, are_gpus=False
    )
    assert usable == nics


# -- hosts with many nodes -----------------------------------------------------------------------


@st.composite
def guests_on_hosts(draw):
    """Draw a host with up to 7 nodes and a guest whose cells differ."""
    count = draw(st.integers(1, 7))
    pinned = draw(st.lists(st.integers(0, 4), min_size=count, max_size=count))
    gpus = [gpu(n, node=draw(st.integers(0, count - 1))) for n in range(draw(st.integers(1, 8)))]
    guests = draw(st.lists(st.integers(1, 4), min_size=1, max_size=count))
    return (
        host_gpus(gpus, cells=[cell(n, pinned=cpus) for n, cpus in enumerate(pinned)]),
        gpu_request(guest_cells=tuple(GuestCell(0, cpus, 1) for cpus in guests)),
    )


def all_sets(host, request):
    """Return the sets of nodes that the guest may fit on, by trying every order."""
    guests, size = request.guest_cells, len(request.guest_cells)
    return {
        frozenset(cell.id for cell in order)
        for order in itertools.permutations(host.cells, size)
        if all(g.pinned_cpus <= c.free_pinned_cpus for g, c in zip(guests, order, strict=True))
    }


@given(guests_on_hosts())
def test_node_sets_are_those_of_every_order_of_the_guests_cells(problem):
    host, request = problem
    found = list(node_sets(host, request))
    assert len(found) == len(set(found))
    assert set(found) == all_sets(host, request)


@given(guests_on_hosts())
def test_on_many_nodes_the_set_with_the_most_gpus_comes_first(problem):
    host, request = problem
    found = list(numa._largest_node_sets(host, request))
    assert len(found) == len(set(found))
    assert set(found) == all_sets(host, request)

    def gpus(nodes):
        return sum(gpu.numa_node in nodes for gpu in host.gpus["gpu"])

    if found:
        assert gpus(found[0]) == max(map(gpus, found))


def test_on_many_nodes_only_some_sets_are_tried():
    host = host_gpus([gpu(n, node=n + 8) for n in range(8)], cells=[cell(n) for n in range(24)])
    request = gpu_request(guest_cells=(GuestCell(0, 1, 1),) * 8)
    found = list(node_sets(host, request))
    assert len(found) == numa.MAX_NODE_SETS
    assert found[0] == set(range(8, 16))
