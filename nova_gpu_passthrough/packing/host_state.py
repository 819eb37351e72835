# SPDX-License-Identifier: Apache-2.0
"""The free capacity of a host, as a value that is equal for like hosts.

A state is a cache key: it has no names of hosts, nodes, link groups or devices, only numbers.
Amounts are whole numbers of any unit (vCPUs or thousandths of them), as long as states and request
classes use the same unit.
"""

from collections.abc import Collection, Hashable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

#: The link group of GPUs without links.
UNLINKED = 0
#: How many different values `interned` keeps.
_MAX_INTERNED = 1 << 16


class GpuGroup(NamedTuple):
    """The free GPUs of one model that are linked to each other, or to none."""

    model: str
    #: The number of the outermost link group, which may span cells; `UNLINKED` without links.
    link: int
    free: int


class CellState(NamedTuple):
    """The free capacity of a NUMA cell, for guests with a NUMA topology."""

    #: vCPUs that are not pinned, including overcommit.
    shared_cpus: int
    #: CPUs for pinning.
    pinned_cpus: int
    ram_mib: int
    gpus: tuple[GpuGroup, ...] = ()


class HostState(NamedTuple):
    """The free capacity of a host; a cache key only in the form that `canonical` returns."""

    #: Empty if the host reports no NUMA topology.
    cells: tuple[CellState, ...]
    #: Of the whole host, for guests with and without NUMA topology: vCPUs that are not pinned
    #: (including overcommit), RAM and disk.
    vcpus: int
    ram_mib: int
    disk_gib: int = 0
    #: GPUs whose NUMA node is unknown.
    gpus: tuple[GpuGroup, ...] = ()

    @property
    def free_gpus(self) -> int:
        """Return the number of free GPUs."""
        return sum(group.free for group in self.gpu_groups())

    def gpu_groups(self) -> Iterable[GpuGroup]:
        """Yield all groups of free GPUs, cell by cell."""
        for cell in self.cells:
            yield from cell.gpus
        yield from self.gpus


_Value = TypeVar("_Value", bound=Hashable)
_values: dict[Any, Any] = {}


def interned(value: _Value) -> _Value:
    """Return one object for all equal values.

    The scheduler keeps the states of thousands of hosts, and most cells are equal: with fewer
    objects, Python's garbage collector stops the scheduler less often and for less time.
    """
    if len(_values) >= _MAX_INTERNED:
        _values.clear()
    kept: _Value = _values.setdefault(value, value)
    return kept


def canonical(state: HostState) -> HostState:
    """Return the state in the form that all like hosts have.

    Negative amounts become 0. Cells are sorted, link groups are renumbered, and a GPU that is alone
    in its link group counts as not linked. If links connect equal cells crosswise, like hosts may
    get different forms, which costs only a cache entry.
    """
    sizes: dict[int, int] = {}
    for _, link, free in state.gpu_groups():
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
        tuple(map(interned, cells)),
        max(0, state.vcpus),
        max(0, state.ram_mib),
        max(0, state.disk_gib),
        gpus,
    )


def _merged(groups: tuple[GpuGroup, ...], linked: Collection[int]) -> tuple[GpuGroup, ...]:
    """Merge groups of one model and link group, and drop empty ones."""
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
    """Sort the cells and renumber the link groups, by everything but the numbers of the groups."""

    def shape(group: GpuGroup) -> tuple[str, int, int]:
        model, link, free = group
        return model, free, sizes[link] if link else 0

    numbers: dict[int, int] = {UNLINKED: UNLINKED}

    def numbered(groups: tuple[GpuGroup, ...]) -> tuple[GpuGroup, ...]:
        order = sorted(groups, key=shape) if len(groups) > 1 else groups
        result = [
            GpuGroup(model, numbers.setdefault(link, len(numbers)), free)
            for model, link, free in order
        ]
        result.sort()
        return tuple(result)

    cells.sort(key=lambda cell: (cell[:3], sorted(map(shape, cell.gpus))))
    return (
        [CellState(shared, pinned, ram, numbered(gpus)) for shared, pinned, ram, gpus in cells],
        numbered(loose),
    )
