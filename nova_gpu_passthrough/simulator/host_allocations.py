# SPDX-License-Identifier: Apache-2.0
"""Allocations of servers on simulated hosts, so that servers can be released.

Canonical states do not identify NUMA cells and link groups. So the state of a host is also kept in
its original order, and the allocation of a server is derived from the state that it leaves.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from nova_gpu_passthrough.packing.allocate import GpuLocation, apply_server, cell_has_room
from nova_gpu_passthrough.packing.host_state import GpuGroup, HostState, canonical
from nova_gpu_passthrough.packing.request_class import RequestClass


class ServerAllocation(NamedTuple):
    """The NUMA cells and GPUs that a server has on its host."""

    request_class: RequestClass
    #: Indices of the NUMA cells.
    cells: Sequence[int]
    gpus: Mapping[GpuLocation, int]


class AllocatedHost:
    """A host and what its servers have left of it.

    :param state: the state of the empty host
    """

    def __init__(self, state: HostState) -> None:
        #: In the original order, with groups that have no free GPU.
        self._state = state

    @property
    def state(self) -> HostState:
        """The current state in canonical form."""
        return canonical(self._state)

    def allocate(self, request_class: RequestClass, after: HostState) -> ServerAllocation:
        """Allocate a server so that it leaves the state ``after``, one of its possible ones.

        :raises ValueError: if no allocation leaves that state
        """
        for allocation in self._allocations(request_class):
            state = apply_server(self._state, request_class, allocation.cells, allocation.gpus, -1)
            if canonical(state) == after:
                self._state = state
                return allocation
        raise ValueError(f"{request_class.name} does not leave {after} of {self._state}")

    def release(self, allocation: ServerAllocation) -> HostState:
        """Release a server, and return the new state in canonical form."""
        self._state = apply_server(
            self._state, allocation.request_class, allocation.cells, allocation.gpus, 1
        )
        return self.state

    def _allocations(self, request_class: RequestClass) -> Iterator[ServerAllocation]:
        """Yield all possible allocations, those with GPUs from few locations first."""
        locations = [
            (GpuLocation(index, group.model, group.link), group.free)
            for index, groups in self._groups()
            for group in groups
            if group.free and request_class.model in (None, group.model)
        ]
        sets = [
            cells
            for cells in itertools.combinations(
                range(len(self._state.cells)), request_class.numa_cells
            )
            if all(cell_has_room(self._state.cells[index], request_class) for index in cells)
        ]
        for size in range(1, len(locations) + 1) if request_class.gpus else (0,):
            for chosen in itertools.combinations(locations, size):
                for counts in _shares([free for _, free in chosen], request_class.gpus):
                    gpus = {location: n for (location, _), n in zip(chosen, counts, strict=True)}
                    for cells in sets:
                        yield ServerAllocation(request_class, cells, gpus)

    def _groups(self) -> Iterator[tuple[int | None, tuple[GpuGroup, ...]]]:
        yield from enumerate(cell.gpus for cell in self._state.cells)
        yield None, self._state.gpus


def _shares(free: Sequence[int], count: int) -> Iterator[tuple[int, ...]]:
    """Yield all ways to take ``count`` from these numbers, at least one from each."""
    if not free:
        if not count:
            yield ()
        return
    rest = sum(free[1:])
    for first in range(max(1, count - rest), min(free[0], count - len(free) + 1) + 1):
        for others in _shares(free[1:], count - first):
            yield (first, *others)
