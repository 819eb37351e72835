# SPDX-License-Identifier: Apache-2.0
"""Select the NUMA nodes, and the devices on them, that a request may use on a host."""

import itertools
import math
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import TypeVar

from nova_gpu_passthrough.topology.matching import match
from nova_gpu_passthrough.topology.model import (
    FreeDevice,
    FreeGpu,
    GpuRequest,
    GuestCell,
    HostGpus,
    NumaCell,
    NumaPolicy,
    Preference,
)

#: How many sets of NUMA nodes are tried at most: all of them on hosts with up to 9 nodes, and for
#: guests with 2 cells on hosts with up to 16.
MAX_NODE_SETS = 128

_Device = TypeVar("_Device", FreeGpu, FreeDevice)


def node_sets(host: HostGpus, request: GpuRequest) -> Iterator[frozenset[int] | None]:
    """Yield the sets of NUMA nodes to try; None: all nodes, and devices without a node.

    Where there are more than `MAX_NODE_SETS`, those with the most devices come first, and only so
    many are yielded.
    """
    nodes = sorted(_nodes(host))
    if request.guest_cells or request.numa is Preference.REQUIRED:
        size = max(1, len(request.guest_cells))
        if math.comb(len(nodes), size) > MAX_NODE_SETS:
            yield from itertools.islice(_largest_node_sets(host, request), MAX_NODE_SETS)
            return
        for combination in itertools.combinations(nodes, min(size, len(nodes))):
            if guest_may_fit(host.cells, request.guest_cells, combination):
                yield frozenset(combination)
        return
    yield None
    if request.attached or request.ports:
        # The best GPUs of the host may be far from the free NICs.
        for node in nodes:
            yield frozenset((node,))


def _nodes(host: HostGpus) -> set[int]:
    if host.cells:
        return {cell.id for cell in host.cells}
    return {
        gpu.numa_node for gpus in host.gpus.values() for gpu in gpus if gpu.numa_node is not None
    }


def _largest_node_sets(host: HostGpus, request: GpuRequest) -> Iterator[frozenset[int]]:
    """Yield the sets of NUMA nodes that the guest may fit on, those with the most devices first.

    The sets of nodes that different guest cells can use are the independent sets of a matroid:
    adding nodes by their devices, the most first, makes the set with the most devices of all, which
    comes first. Sets of the first nodes in this order come before those with later nodes.
    """
    devices = Counter(gpu.numa_node for gpus in host.gpus.values() for gpu in gpus)
    devices.update(device.numa_node for found in host.attached.values() for device in found)
    nodes = sorted(_nodes(host), key=lambda node: (-devices[node], node))
    guests = request.guest_cells
    if not guests:
        yield from (frozenset((node,)) for node in nodes)
        return
    cells = {cell.id: cell for cell in host.cells}
    #: By node, the guest cells that it suits.
    suits = {
        node: [number for number, guest in enumerate(guests) if _cell_may_fit(cells[node], guest)]
        for node in nodes
    }
    nodes = [node for node in nodes if suits[node]]
    alike = all(len(suits[node]) == len(guests) for node in nodes)

    def differ(chosen: Sequence[int]) -> bool:
        """Check whether every node gets a guest cell of its own."""
        return alike or match([suits[node] for node in chosen]) is not None

    def fit_on(among: Collection[int]) -> bool:
        """Check whether every guest cell gets a node of its own."""
        if alike:
            return len(among) >= len(guests)
        options = [[n for n in among if number in suits[n]] for number in range(len(guests))]
        return match(options) is not None

    def extend(chosen: tuple[int, ...], end: int) -> Iterator[frozenset[int]]:
        if len(chosen) == len(guests):
            yield frozenset(chosen)
            return
        for last in range(end):
            larger = (*chosen, nodes[last])
            if differ(larger) and fit_on((*chosen, *nodes[: last + 1])):
                yield from extend(larger, last)

    largest: list[int] = []
    for node in nodes:
        if len(largest) < len(guests) and differ([*largest, node]):
            largest.append(node)
    if len(largest) < len(guests):
        return
    yield frozenset(largest)
    yield from (found for found in extend((), len(nodes)) if found != frozenset(largest))


def guest_may_fit(
    cells: Sequence[NumaCell], guest_cells: Sequence[GuestCell], nodes: Sequence[int]
) -> bool:
    """Check whether the guest's cells may fit on exactly these host cells.

    False means that Nova would refuse them, too. True is no promise: Nova also considers page
    sizes, threads and overcommit (``_numa_fit_instance_cell`` in nova/virt/hardware.py).
    """
    if not guest_cells:
        return True
    by_id = {cell.id: cell for cell in cells}
    options = [
        [node for node in nodes if _cell_may_fit(by_id[node], guest)] for guest in guest_cells
    ]
    return match(options) is not None


def _cell_may_fit(cell: NumaCell, guest: GuestCell) -> bool:
    if guest.pinned_cpus > cell.free_pinned_cpus or guest.shared_cpus > cell.shared_cpus:
        return False
    memory = cell.free_memory_mib if guest.pinned_cpus else cell.memory_mib
    return guest.memory_mib <= memory


def usable_devices(
    host: HostGpus,
    request: GpuRequest,
    policy: NumaPolicy,
    devices: Sequence[_Device],
    nodes: frozenset[int] | None,
    count: int,
    are_gpus: bool = True,
) -> list[_Device]:
    """Return the devices that a PCI request may use, with the guest (if it has cells) on ``nodes``.

    Restates ``PciDeviceStats._filter_pools_for_numa_cells`` in nova/pci/stats.py: farther devices
    are allowed only if there are too few nearer ones.

    :param count: how many devices are requested
    """
    if nodes is None:
        return list(devices)
    near = [d for d in devices if d.numa_node in nodes]
    if are_gpus and request.numa is Preference.REQUIRED:
        return near
    if not request.guest_cells:
        return near if are_gpus and len(near) >= count else list(devices)
    if policy is NumaPolicy.REQUIRED or len(near) >= count:
        return near
    if policy is NumaPolicy.SOCKET:
        sockets = {cell.socket for cell in host.cells if cell.id in nodes} - {None}
        nodes = frozenset(cell.id for cell in host.cells if cell.socket in sockets)
        return [d for d in devices if d.numa_node in nodes]
    near_or_unknown = [d for d in devices if d.numa_node is None or d.numa_node in nodes]
    if policy is NumaPolicy.LEGACY or len(near_or_unknown) >= count:
        return near_or_unknown
    return list(devices)
