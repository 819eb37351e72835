# SPDX-License-Identifier: Apache-2.0
"""Which NUMA nodes and which devices a guest may use."""

import pytest

from nova_gpu_passthrough.topology.model import (
    Demand,
    Device,
    GuestCell,
    NumaCell,
    NumaPolicy,
    Preference,
)
from nova_gpu_passthrough.topology.numa import has_room, node_sets, on_nodes
from tests.unit.builders import gpu, gpu_request, host_gpus, numbers


def cell(number, shared=16, pinned=16, memory=1000, free=1000, socket=None):
    return NumaCell(number, socket, shared, pinned, memory, free)


def sets(host, request):
    return [nodes and sorted(nodes) for nodes in node_sets(host, request)]


def test_without_numa_wishes_all_nodes_are_one_set():
    host = host_gpus([gpu(1, node=0), gpu(2, node=1)])
    assert sets(host, gpu_request()) == [None]


def test_attached_devices_make_every_node_worth_a_try():
    host = host_gpus([gpu(1, node=0), gpu(2, node=3)], {"nic": ()})
    assert sets(host, gpu_request(attached=(Demand("nic", "nic", 1),))) == [None, [0], [3]]


def test_required_numa_tries_one_node_at_a_time():
    host = host_gpus([gpu(1, node=2), gpu(2, node=5), gpu(3, node=None)])
    assert sets(host, gpu_request(numa=Preference.REQUIRED)) == [[2], [5]]


def test_guest_cells_try_as_many_nodes_as_they_are():
    host = host_gpus([gpu(1)], cells=[cell(0), cell(1), cell(2)])
    request = gpu_request(guest_cells=(GuestCell(1, 0, 1), GuestCell(1, 0, 1)))
    assert sets(host, request) == [[0, 1], [0, 2], [1, 2]]


def test_nodes_without_room_are_not_tried():
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
def test_room_is_counted_in_cpus_and_memory(guest, fits):
    assert has_room([cell(0, pinned=8, free=500)], (guest,), (0,)) is fits


def test_guest_cells_may_go_to_the_nodes_in_any_order():
    cells = [cell(0, pinned=2), cell(1, pinned=8)]
    assert has_room(cells, (GuestCell(0, 8, 1), GuestCell(0, 2, 1)), (0, 1))
    assert not has_room(cells, (GuestCell(0, 8, 1), GuestCell(0, 3, 1)), (0, 1))


def test_two_guest_cells_do_not_share_a_node():
    assert not has_room([cell(0)], (GuestCell(0, 1, 1), GuestCell(0, 1, 1)), (0,))


def test_a_guest_without_cells_fits_anywhere():
    assert has_room([], (), ())


GUEST = (GuestCell(1, 0, 1),)
CELLS = [cell(n, socket=n // 2) for n in range(4)]
GPUS = [gpu(number, node=number) for number in range(4)] + [gpu(9, node=None)]


def allowed(policy, wanted, nodes=(0,), gpus=GPUS, cells=CELLS, **wishes):
    request = gpu_request(guest_cells=wishes.pop("guest_cells", GUEST), **wishes)
    host = host_gpus(gpus, cells=cells)
    return numbers(on_nodes(host, request, policy, gpus, frozenset(nodes), wanted))


@pytest.mark.parametrize("policy", NumaPolicy)
def test_enough_devices_on_the_nodes_leave_all_others_out(policy):
    assert allowed(policy, 1) == [0]
    assert allowed(policy, 2, nodes=(0, 1)) == [0, 1]


@pytest.mark.parametrize(
    "policy, wanted, expected",
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
def test_too_few_devices_on_the_nodes_open_what_the_policy_allows(policy, wanted, expected):
    assert allowed(policy, wanted) == expected


def test_unknown_sockets_are_no_shared_socket():
    cells = [cell(n) for n in range(4)]
    assert allowed(NumaPolicy.SOCKET, 2, cells=cells) == []


def test_required_numa_overrides_a_softer_policy():
    assert allowed(NumaPolicy.PREFERRED, 2, numa=Preference.REQUIRED) == [0]


def test_without_guest_cells_no_policy_binds():
    assert allowed(NumaPolicy.REQUIRED, 3, guest_cells=()) == [0, 1, 2, 3, 9]


def test_all_nodes_mean_all_devices():
    request = gpu_request(guest_cells=GUEST)
    assert on_nodes(host_gpus(GPUS), request, NumaPolicy.REQUIRED, GPUS, None, 1) == GPUS


def test_other_devices_without_guest_cells_may_be_anywhere():
    nics = [Device("n0", 0), Device("n1", 1)]
    request = gpu_request(numa=Preference.REQUIRED)
    host = host_gpus(GPUS)
    found = on_nodes(host, request, NumaPolicy.REQUIRED, nics, frozenset((0,)), 1, are_gpus=False)
    assert found == nics
