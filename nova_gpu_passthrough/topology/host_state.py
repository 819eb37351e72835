# SPDX-License-Identifier: Apache-2.0
"""What a whole host has left for servers, as small values that are equal where hosts are alike.

A state is a key of caches: it has no names of hosts, nodes, link groups or devices, only numbers.
Amounts are whole numbers of any unit (vCPUs or thousandths of them), as long as states and request
classes use the same.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

#: Link group of GPUs that are linked to no other.
UNLINKED = 0


class GpuGroup(NamedTuple):
    """Free GPUs of one model that are linked to each other, or to none."""

    model: str
    #: Equal for GPUs of one (outermost) link group, on whatever cells; `UNLINKED` for others.
    link: int
    free: int


class CellState(NamedTuple):
    """What a NUMA cell has left for guests with a NUMA topology."""

    #: vCPUs that are not pinned, with overcommit.
    shared_cpus: int
    #: CPUs for pinning.
    pinned_cpus: int
    ram_mib: int
    gpus: tuple[GpuGroup, ...] = ()


class HostState(NamedTuple):
    """What a host has left; made by `canonical`."""

    #: Empty where the host reports no NUMA topology.
    cells: tuple[CellState, ...]
    #: Of the whole host, for guests with and without NUMA topology: vCPUs that are not pinned
    #: (with overcommit), RAM and disk.
    vcpus: int
    ram_mib: int
    disk_gib: int = 0
    #: GPUs of which no NUMA node is known.
    gpus: tuple[GpuGroup, ...] = ()

    @property
    def free_gpus(self) -> int:
        """How many GPUs are free."""
        return sum(group.free for group in self.groups())

    def groups(self) -> Iterable[GpuGroup]:
        """All free GPUs, cell by cell."""
        for cell in self.cells:
            yield from cell.gpus
        yield from self.gpus


def canonical(state: HostState) -> HostState:
    """The same state in the form that like hosts share.

    What is overdrawn counts as nothing. Cells are sorted; link groups are numbered anew, and a GPU
    that is alone in its group is not linked. Hosts whose equal cells are joined by links
    crosswise may get different forms, which costs a cache entry and nothing else.
    """
    cells, gpus = state.cells, state.gpus
    if any(group.link for group in state.groups()):
        cells, gpus = _renumbered(cells, gpus)
    else:
        cells = tuple(sorted(cell._replace(gpus=_merged(cell.gpus)) for cell in cells))
        gpus = _merged(gpus)
    return HostState(
        tuple(
            CellState(
                max(0, cell.shared_cpus), max(0, cell.pinned_cpus), max(0, cell.ram_mib), cell.gpus
            )
            for cell in cells
        ),
        max(0, state.vcpus),
        max(0, state.ram_mib),
        max(0, state.disk_gib),
        gpus,
    )


def _merged(groups: Iterable[GpuGroup]) -> tuple[GpuGroup, ...]:
    """Groups of one model and link joined, empty ones left out."""
    free: dict[tuple[str, int], int] = {}
    for model, link, count in groups:
        if count > 0:
            free[model, link] = free.get((model, link), 0) + count
    if len(free) == 1:
        ((model, link), count) = free.popitem()
        return (GpuGroup(model, link, count),)
    return tuple(GpuGroup(model, link, count) for (model, link), count in sorted(free.items()))


def _renumbered(
    cells: Sequence[CellState], loose: tuple[GpuGroup, ...]
) -> tuple[tuple[CellState, ...], tuple[GpuGroup, ...]]:
    sizes: dict[int, int] = {}
    for groups in (*(cell.gpus for cell in cells), loose):
        for group in groups:
            sizes[group.link] = sizes.get(group.link, 0) + max(0, group.free)
    alone = {link for link, size in sizes.items() if size <= 1}
    numbers: dict[int, int] = {UNLINKED: UNLINKED}

    def plain(groups: Iterable[GpuGroup]) -> tuple[GpuGroup, ...]:
        return _merged(g._replace(link=UNLINKED) if g.link in alone else g for g in groups)

    def shape(groups: Sequence[GpuGroup]) -> list[tuple[str, bool, int, int]]:
        return sorted((g.model, g.link != UNLINKED, g.free, sizes[g.link]) for g in groups)

    def numbered(groups: Sequence[GpuGroup]) -> tuple[GpuGroup, ...]:
        order = sorted(groups, key=lambda g: (g.model, g.link != UNLINKED, g.free, sizes[g.link]))
        return tuple(
            sorted(g._replace(link=numbers.setdefault(g.link, len(numbers))) for g in order)
        )

    sizes[UNLINKED] = 0
    bare = [cell._replace(gpus=plain(cell.gpus)) for cell in cells]
    bare.sort(key=lambda cell: (cell[:3], shape(cell.gpus)))
    return (
        tuple(cell._replace(gpus=numbered(cell.gpus)) for cell in bare),
        numbered(plain(loose)),
    )
