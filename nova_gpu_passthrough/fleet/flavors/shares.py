# SPDX-License-Identifier: Apache-2.0
"""What part of a host the servers of a flavor get, so that all its GPUs can be used.

A server with n of the g GPUs of a set of NUMA nodes gets n/g of the node that has least, for each
of its own NUMA cells, all of which Nova makes alike. So whatever mix of such servers uses the GPUs
of a node finds CPUs and memory there, too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from nova_gpu_passthrough.fleet.aliases import Alias
from nova_gpu_passthrough.fleet.flavors.layout import Layout, Node

_GIB = 1024
#: Where a share is less than a GiB.
_MIB_STEP = 64


@dataclass(frozen=True)
class Need:
    """What the shares depend on."""

    alias: Alias
    #: GPUs, and NUMA cells, of a server.
    count: int
    cells: int
    pinned: bool
    #: KiB, or a word of ``topology.guest``.
    page_size: int | None


@dataclass(frozen=True)
class Share:
    """The most of one host for each NUMA cell of a server, before rounding."""

    vcpus: Fraction
    ram_mib: Fraction


def share(layout: Layout, need: Need) -> Share | None:
    """The share on one host; None if it has no nodes for such a server."""
    found = [_share(nodes, need) for nodes in _sets(layout, need)]
    if not found:
        return None
    return Share(min(s.vcpus for s in found), min(s.ram_mib for s in found))


def cells_for(layouts: Iterable[Layout], alias: Alias, count: int, pinned: bool) -> int:
    """NUMA cells of a server that the most hosts can boot; of equal numbers the smallest."""
    known = [
        (
            layout.fewest_nodes(alias, count),
            sum(1 for node in layout.nodes if node.vcpus(pinned)),
        )
        for layout in layouts
    ]
    bounds = [(low, high) for low, high in known if low is not None]
    choices = sorted({low for low, _ in bounds})
    return max(
        choices, key=lambda n: (sum(low <= n <= high for low, high in bounds), -n), default=1
    )


def vcpus(shares: Iterable[Share], threads: int) -> int:
    """VCPUs of a cell: whole cores, where a share has one."""
    least = int(min((share.vcpus for share in shares), default=Fraction(0)))
    return least // threads * threads or least


def ram_mib(shares: Iterable[Share]) -> int:
    """Memory of a cell: whole GiB, where a share has one."""
    return rounded_mib(int(min((share.ram_mib for share in shares), default=Fraction(0))))


def rounded_mib(mib: int) -> int:
    """Whole GiB, or of less than one whole 64 MiB."""
    return mib // _GIB * _GIB or mib // _MIB_STEP * _MIB_STEP


def threads(layouts: Iterable[Layout]) -> int:
    """The most threads of a core."""
    return max((node.cell.threads for layout in layouts for node in layout.nodes), default=1)


def _sets(layout: Layout, need: Need) -> Iterable[Sequence[Node]]:
    for nodes in layout.node_sets(need.alias, need.count, need.cells):
        if all(node.vcpus(need.pinned) and node.ram_mib(need.page_size) for node in nodes):
            yield nodes


def _share(nodes: Sequence[Node], need: Need) -> Share:
    part = Fraction(need.count, sum(node.gpu_count for node in nodes))
    return Share(
        min(node.vcpus(need.pinned) for node in nodes) * part,
        min(node.ram_mib(need.page_size) for node in nodes) * part,
    )
