# SPDX-License-Identifier: Apache-2.0
"""Hosts that servers leave again.

Canonical states forget which cell and which link group is which. So a host is also kept as it was
made, and what a server took of it is found by what is left.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from nova_gpu_passthrough.packing.allocate import Place, has_room, moved
from nova_gpu_passthrough.packing.host_state import GpuGroup, HostState, canonical
from nova_gpu_passthrough.packing.request_class import RequestClass


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
            state = moved(self._state, wanted, held.cells, held.gpus, -1)
            if canonical(state) == after:
                self._state = state
                return held
        raise ValueError(f"{wanted.name} does not leave {after} of {self._state}")

    def give_back(self, held: Held) -> HostState:
        """Take a server away; returns what is left, in canonical form."""
        self._state = moved(self._state, held.wanted, held.cells, held.gpus, 1)
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
            if all(has_room(self._state.cells[index], wanted) for index in cells)
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
