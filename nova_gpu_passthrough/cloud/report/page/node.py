# SPDX-License-Identifier: Apache-2.0
"""What a NUMA node has for servers, and what is left, in numbers."""

from dataclasses import dataclass

from nova_gpu_passthrough.nova_rules.host_cell import HostCell


@dataclass(frozen=True)
class NodeRoom:
    """One node. CPUs for pinning and CPUs that servers share are counted apart."""

    id: int
    #: CPUs (threads) for pinning.
    pinned_total: int
    pinned_free: int
    #: CPUs that guests without pinning share, and the vCPUs of guests with NUMA cells on them.
    shared_total: int
    shared_used: int
    #: In the pages that hold most of the node's memory, without what the host keeps.
    memory_total_mib: int
    memory_free_mib: int


def room(cell: HostCell) -> NodeRoom:
    """The numbers of a node. Only servers with NUMA cells count, as in Nova."""
    total, free = cell.memory_mib, cell.free_mib
    if cell.pages:
        most = max(cell.pages, key=lambda pages: pages.total_kib - pages.reserved * pages.size_kib)
        total = (most.total - most.reserved) * most.size_kib // 1024
        free = most.free_kib // 1024
    return NodeRoom(
        cell.id,
        len(cell.dedicated),
        len(cell.free_pinned),
        len(cell.shared),
        cell.shared_used,
        max(0, total),
        max(0, free),
    )
