# SPDX-License-Identifier: Apache-2.0
"""Select the NUMA nodes, and the devices on them, that a request may use on a host."""

import itertools
from collections.abc import Iterator, Sequence
from typing import TypeVar

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

_Device = TypeVar("_Device", FreeGpu, FreeDevice)


def node_sets(host: HostGpus, request: GpuRequest) -> Iterator[frozenset[int] | None]:
    """Yield the sets of NUMA nodes to try; None: all nodes, and devices without a node."""
    nodes = sorted(_nodes(host))
    if request.guest_cells or request.numa is Preference.REQUIRED:
        size = max(1, len(request.guest_cells))
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
    hosts = [by_id[node] for node in nodes]
    if len(hosts) < len(guest_cells):
        return False
    return any(
        all(_cell_may_fit(cell, guest) for cell, guest in zip(order, guest_cells, strict=False))
        for order in itertools.permutations(hosts, len(guest_cells))
    )


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
