# SPDX-License-Identifier: Apache-2.0
"""Which NUMA nodes of a host a request may use."""

import itertools
from collections.abc import Iterator, Sequence
from typing import TypeVar

from nova_gpu_passthrough.topology.model import (
    Device,
    Gpu,
    GpuRequest,
    GuestCell,
    HostGpus,
    NumaCell,
    NumaPolicy,
    Preference,
)

_D = TypeVar("_D", Gpu, Device)


def node_sets(host: HostGpus, request: GpuRequest) -> Iterator[frozenset[int] | None]:
    """Sets of NUMA nodes to try; None stands for all nodes and devices without a node."""
    nodes = sorted(_nodes(host))
    if request.guest_cells or request.numa is Preference.REQUIRED:
        size = max(1, len(request.guest_cells))
        for combination in itertools.combinations(nodes, min(size, len(nodes))):
            if has_room(host.cells, request.guest_cells, combination):
                yield frozenset(combination)
        return
    yield None
    if request.attached:
        # The best GPUs alone may lie far from the NICs that are free.
        for node in nodes:
            yield frozenset((node,))


def _nodes(host: HostGpus) -> set[int]:
    if host.cells:
        return {cell.id for cell in host.cells}
    return {
        gpu.numa_node for gpus in host.gpus.values() for gpu in gpus if gpu.numa_node is not None
    }


def has_room(
    cells: Sequence[NumaCell], guest_cells: Sequence[GuestCell], nodes: Sequence[int]
) -> bool:
    """Whether the guest's cells may fit on exactly these host cells.

    Only what is certain counts (``_numa_fit_instance_cell`` in ``nova/virt/hardware.py`` knows
    page sizes, threads and overcommit better): False means that Nova would refuse, too.
    """
    if not guest_cells:
        return True
    by_id = {cell.id: cell for cell in cells}
    hosts = [by_id[node] for node in nodes]
    if len(hosts) < len(guest_cells):
        return False
    return any(
        all(_has_room(cell, guest) for cell, guest in zip(order, guest_cells, strict=False))
        for order in itertools.permutations(hosts, len(guest_cells))
    )


def _has_room(cell: NumaCell, guest: GuestCell) -> bool:
    if guest.pinned_cpus > cell.free_pinned_cpus or guest.shared_cpus > cell.shared_cpus:
        return False
    memory = cell.free_memory_mib if guest.pinned_cpus else cell.memory_mib
    return guest.memory_mib <= memory


def on_nodes(
    host: HostGpus,
    request: GpuRequest,
    policy: NumaPolicy,
    devices: Sequence[_D],
    nodes: frozenset[int] | None,
    wanted: int,
    are_gpus: bool = True,
) -> list[_D]:
    """The devices that a demand may have, with the guest (if it has cells) on ``nodes``.

    The rules are those of ``PciDeviceStats._filter_pools_for_numa_cells`` (nova/pci/stats.py):
    farther devices count only where nearer ones do not suffice.

    :param wanted: how many devices are demanded
    """
    if nodes is None:
        return list(devices)
    near = [d for d in devices if d.numa_node in nodes]
    if are_gpus and request.numa is Preference.REQUIRED:
        return near
    if not request.guest_cells:
        return near if are_gpus and len(near) >= wanted else list(devices)
    if policy is NumaPolicy.REQUIRED or len(near) >= wanted:
        return near
    if policy is NumaPolicy.SOCKET:
        sockets = {cell.socket for cell in host.cells if cell.id in nodes} - {None}
        nodes = frozenset(cell.id for cell in host.cells if cell.socket in sockets)
        return [d for d in devices if d.numa_node in nodes]
    untold = [d for d in devices if d.numa_node is None or d.numa_node in nodes]
    if policy is NumaPolicy.LEGACY or len(untold) >= wanted:
        return untold
    return list(devices)
