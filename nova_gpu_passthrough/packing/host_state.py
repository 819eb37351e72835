# SPDX-License-Identifier: Apache-2.0
"""What a whole host has left for servers, as small values that are equal where hosts are alike.

A state is a key of caches: it has no names of hosts, nodes, link groups or devices, only numbers.
Amounts are whole numbers of any unit (vCPUs or thousandths of them), as long as states and request
classes use the same.
"""

from collections.abc import Collection, Hashable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

#: Link group of GPUs that are linked to no other.
UNLINKED = 0
#: How many different values `shared` remembers.
_MOST_SHARED = 1 << 16


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


_Value = TypeVar("_Value", bound=Hashable)
_values: dict[Any, Any] = {}


def shared(value: _Value) -> _Value:
    """The one object that stands for all equal ones.

    Thousands of hosts are remembered, most with cells like those of others: the fewer objects, the
    seldomer and the shorter Python's collector of garbage stops the scheduler.
    """
    if len(_values) >= _MOST_SHARED:
        _values.clear()
    found: _Value = _values.setdefault(value, value)
    return found


def canonical(state: HostState) -> HostState:
    """The same state in the form that like hosts share.

    What is overdrawn counts as nothing. Cells are sorted; link groups are numbered anew, and a GPU
    that is alone in its group is not linked. Hosts whose equal cells are joined by links
    crosswise may get different forms, which costs a cache entry and nothing else.
    """
    sizes: dict[int, int] = {}
    for _, link, free in state.groups():
        if link and free > 0:
            sizes[link] = sizes.get(link, 0) + free
    linked = {link for link, size in sizes.items() if size > 1}
    cells = [
        CellState(max(0, cpus), max(0, pinned), max(0, ram), _merged(gpus, linked))
        for cpus, pinned, ram, gpus in state.cells
    ]
    gpus = _merged(state.gpus, linked)
    if linked:
        cells, gpus = _renumbered(cells, gpus, sizes)
    else:
        cells.sort()
    return HostState(
        tuple(map(shared, cells)),
        max(0, state.vcpus),
        max(0, state.ram_mib),
        max(0, state.disk_gib),
        gpus,
    )


def _merged(groups: tuple[GpuGroup, ...], linked: Collection[int]) -> tuple[GpuGroup, ...]:
    """Groups of one model and link joined, empty ones left out."""
    if len(groups) == 1:
        ((model, link, count),) = groups
        if count <= 0:
            return ()
        return groups if link in linked else (GpuGroup(model, UNLINKED, count),)
    free: dict[tuple[str, int], int] = {}
    for model, link, count in groups:
        if count > 0:
            key = model, link if link in linked else UNLINKED
            free[key] = free.get(key, 0) + count
    return tuple(GpuGroup(model, link, count) for (model, link), count in sorted(free.items()))


def _renumbered(
    cells: list[CellState], loose: tuple[GpuGroup, ...], sizes: Mapping[int, int]
) -> tuple[list[CellState], tuple[GpuGroup, ...]]:
    """Cells sorted and links numbered by all that is known of them but the numbers."""

    def shape(group: GpuGroup) -> tuple[str, int, int]:
        model, link, free = group
        return model, free, sizes[link] if link else 0

    numbers: dict[int, int] = {UNLINKED: UNLINKED}

    def numbered(groups: tuple[GpuGroup, ...]) -> tuple[GpuGroup, ...]:
        order = sorted(groups, key=shape) if len(groups) > 1 else groups
        found = [
            GpuGroup(model, numbers.setdefault(link, len(numbers)), free)
            for model, link, free in order
        ]
        found.sort()
        return tuple(found)

    cells.sort(key=lambda cell: (cell[:3], sorted(map(shape, cell.gpus))))
    return (
        [CellState(shared, pinned, ram, numbered(gpus)) for shared, pinned, ram, gpus in cells],
        numbered(loose),
    )
