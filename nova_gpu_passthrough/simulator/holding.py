# SPDX-License-Identifier: Apache-2.0
"""Hosts that servers leave again.

Canonical states forget which cell and which link group is which. So a host is also kept as it was
made, and what a server took of it is found by what is left.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from nova_gpu_passthrough.topology.host_state import CellState, GpuGroup, HostState, canonical
from nova_gpu_passthrough.topology.request_class import RequestClass
from nova_gpu_passthrough.topology.taking import Place


class Held(NamedTuple):
    """What a server has of its host."""

    wanted: RequestClass
    #: Indices of its cells.
    cells: Sequence[int]
    gpus: Mapping[Place, int]


class HeldHost:
    """A host with servers.

    :param state: of the empty host
    """

    def __init__(self, state: HostState) -> None:
        #: In the order in which it was made, with groups of no free GPU.
        self._state = state

    @property
    def state(self) -> HostState:
        """What is left, in canonical form."""
        return canonical(self._state)

    def take(self, wanted: RequestClass, after: HostState) -> Held:
        """Place a server so that this is left, one of `taking.placements`.

        :raises ValueError: if it cannot be left
        """
        for held in self._ways(wanted):
            state = _with(self._state, held, -1)
            if canonical(state) == after:
                self._state = state
                return held
        raise ValueError(f"{wanted.name} does not leave {after} of {self._state}")

    def give_back(self, held: Held) -> HostState:
        """Take a server away; returns what is left, in canonical form."""
        self._state = _with(self._state, held, 1)
        return self.state

    def _ways(self, wanted: RequestClass) -> Iterator[Held]:
        """All ways to take from it; those from few places first."""
        places = [
            (Place(index, group.model, group.link), group.free)
            for index, groups in self._groups()
            for group in groups
            if group.free and wanted.model in (None, group.model)
        ]
        sets = [
            cells
            for cells in itertools.combinations(range(len(self._state.cells)), wanted.numa_cells)
            if all(self._has_room(index, wanted) for index in cells)
        ]
        for size in range(1, len(places) + 1) if wanted.gpus else (0,):
            for chosen in itertools.combinations(places, size):
                for counts in _shares([free for _, free in chosen], wanted.gpus):
                    gpus = {place: n for (place, _), n in zip(chosen, counts, strict=True)}
                    for cells in sets:
                        yield Held(wanted, cells, gpus)

    def _groups(self) -> Iterator[tuple[int | None, tuple[GpuGroup, ...]]]:
        yield from enumerate(cell.gpus for cell in self._state.cells)
        yield None, self._state.gpus

    def _has_room(self, index: int, wanted: RequestClass) -> bool:
        cell = self._state.cells[index]
        return (
            wanted.cell_vcpus <= cell.shared_cpus
            and wanted.cell_pinned_cpus <= cell.pinned_cpus
            and wanted.cell_ram_mib <= cell.ram_mib
        )


def _shares(free: Sequence[int], count: int) -> Iterator[tuple[int, ...]]:
    """All ways to take so many from these, at least one from each."""
    if not free:
        if not count:
            yield ()
        return
    rest = sum(free[1:])
    for first in range(max(1, count - rest), min(free[0], count - len(free) + 1) + 1):
        for others in _shares(free[1:], count - first):
            yield (first, *others)


def _with(state: HostState, held: Held, sign: int) -> HostState:
    wanted = held.wanted
    return HostState(
        tuple(
            CellState(
                cell.shared_cpus + sign * (wanted.cell_vcpus if index in held.cells else 0),
                cell.pinned_cpus + sign * (wanted.cell_pinned_cpus if index in held.cells else 0),
                cell.ram_mib + sign * (wanted.cell_ram_mib if index in held.cells else 0),
                _groups_with(cell.gpus, index, held, sign),
            )
            for index, cell in enumerate(state.cells)
        ),
        state.vcpus + sign * wanted.vcpus,
        state.ram_mib + sign * wanted.ram_mib,
        state.disk_gib + sign * wanted.disk_gib,
        _groups_with(state.gpus, None, held, sign),
    )


def _groups_with(
    groups: tuple[GpuGroup, ...], cell: int | None, held: Held, sign: int
) -> tuple[GpuGroup, ...]:
    return tuple(
        group._replace(
            free=group.free + sign * held.gpus.get(Place(cell, group.model, group.link), 0)
        )
        for group in groups
    )
