# SPDX-License-Identifier: Apache-2.0
"""The share of a host's CPUs and memory that a server gets, so that all GPUs can be used.

A server with n of the g GPUs of a set of NUMA nodes gets n/g of the node that has least, for each
of its NUMA cells, which Nova makes equal. So any mix of such servers that uses all GPUs of a node
also finds CPUs and memory on this node.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from nova_gpu_passthrough.fleet.aliases import Alias
from nova_gpu_passthrough.fleet.flavors.host_layout import HostLayout, NodeLayout

_GIB = 1024
#: The unit of memory for shares below 1 GiB.
_MIB_STEP = 64


@dataclass(frozen=True)
class ServerShape:
    """The properties of a server that its share depends on."""

    alias: Alias
    #: GPUs of the server.
    count: int
    #: NUMA cells of the server.
    cells: int
    pinned: bool
    #: KiB, or a constant of ``nova_rules.guest_topology``.
    page_size: int | None


@dataclass(frozen=True)
class CellShare:
    """The most that one host can give each NUMA cell of a server, before rounding."""

    vcpus: Fraction
    ram_mib: Fraction


def cell_share(layout: HostLayout, shape: ServerShape) -> CellShare | None:
    """Return the share of a cell on one host; None if the host has no nodes for such a server."""
    shares = [_share_of_nodes(nodes, shape) for nodes in _node_sets(layout, shape)]
    if not shares:
        return None
    return CellShare(min(s.vcpus for s in shares), min(s.ram_mib for s in shares))


def cell_count(layouts: Iterable[HostLayout], alias: Alias, count: int, pinned: bool) -> int:
    """Return the number of NUMA cells that the most hosts can boot; the smallest of several.

    :param count: GPUs of the server
    """
    limits = [
        (
            layout.fewest_nodes(alias, count),
            sum(1 for node in layout.nodes if node.vcpus(pinned)),
        )
        for layout in layouts
    ]
    bounds = [(low, high) for low, high in limits if low is not None]
    choices = sorted({low for low, _ in bounds})
    return max(
        choices, key=lambda n: (sum(low <= n <= high for low, high in bounds), -n), default=1
    )


def vcpus(shares: Iterable[CellShare], threads: int) -> int:
    """Return the vCPUs of a cell: whole cores, unless the smallest share is less than a core."""
    least = int(min((share.vcpus for share in shares), default=Fraction(0)))
    return least // threads * threads or least


def ram_mib(shares: Iterable[CellShare]) -> int:
    """Return the memory of a cell, rounded by `round_mib`."""
    return round_mib(int(min((share.ram_mib for share in shares), default=Fraction(0))))


def round_mib(mib: int) -> int:
    """Round memory down to GiB, or below 1 GiB to 64 MiB."""
    return mib // _GIB * _GIB or mib // _MIB_STEP * _MIB_STEP


def threads_per_core(layouts: Iterable[HostLayout]) -> int:
    """Return the most threads of a core."""
    return max((node.cell.threads for layout in layouts for node in layout.nodes), default=1)


def _node_sets(layout: HostLayout, shape: ServerShape) -> Iterable[Sequence[NodeLayout]]:
    for nodes in layout.node_sets(shape.alias, shape.count, shape.cells):
        if all(node.vcpus(shape.pinned) and node.ram_mib(shape.page_size) for node in nodes):
            yield nodes


def _share_of_nodes(nodes: Sequence[NodeLayout], shape: ServerShape) -> CellShare:
    part = Fraction(shape.count, sum(node.gpu_count for node in nodes))
    return CellShare(
        min(node.vcpus(shape.pinned) for node in nodes) * part,
        min(node.ram_mib(shape.page_size) for node in nodes) * part,
    )
