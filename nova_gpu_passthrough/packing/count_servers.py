# SPDX-License-Identifier: Apache-2.0
"""How many servers of a class a host can still take, and how many of its GPUs they would use.

This runs for every class of a mix on every new state of every host: arithmetic instead of search,
and what classes have in common is worked out once for a state.
"""

from collections.abc import Iterable, Sequence

from nova_gpu_passthrough.packing.host_state import UNLINKED, GpuGroup, HostState
from nova_gpu_passthrough.packing.request_class import Reach, RequestClass

#: No host takes more servers than this.
_MANY = 1 << 30


def usable(state: HostState, wanted: RequestClass) -> int:
    """How many free GPUs of the host further servers of the class can use together."""
    return servers(state, wanted) * wanted.gpus


def usable_by_class(state: HostState, classes: Iterable[RequestClass]) -> list[int]:
    """`usable` for many classes, faster than one by one."""
    count = _Counting(state).servers
    return [count(wanted) * wanted.gpus for wanted in classes]


def servers(state: HostState, wanted: RequestClass) -> int:
    """How many servers of the class the host can take beside each other.

    Exact for guests without NUMA topology, for guests with one cell, and for guests with as many
    cells as the host has. For other guests with several cells it never says more than there is
    room for, and may say less. The same holds for linked GPUs of unknown NUMA nodes on a host that
    has others, too.
    """
    return _Counting(state).servers(wanted)


class _Counting:
    """A state, and what was worked out of it."""

    __slots__ = ("all_free", "cells", "has_near", "near_free", "state")

    def __init__(self, state: HostState) -> None:
        self.state = state
        self.cells = state.cells
        self.has_near = any(cell.gpus for cell in state.cells)
        #: Free GPUs by model (None: of any): of the host, and of each cell.
        self.all_free: dict[str | None, int] = {}
        self.near_free: dict[str | None, list[int]] = {}

    def servers(self, wanted: RequestClass) -> int:
        if wanted.gpus and self._free(wanted.model) < wanted.gpus:
            return 0
        most = self._host_wide(wanted)
        if most <= 0:
            return 0
        if not wanted.numa_cells:
            if not wanted.gpus:
                return most
            if wanted.reach is not Reach.NEAR:
                return min(most, self._all_sets(wanted))
            return min(most, sum(self._near_sets(wanted)))
        if wanted.numa_cells > len(self.cells):
            return 0
        slots = self._slots(wanted)
        if (
            not wanted.gpus
            or wanted.reach is Reach.ANYWHERE
            or (wanted.reach is Reach.NOT_FAR and not self.has_near)
        ):
            most = _by_slots(slots, wanted.numa_cells, most)
            return min(most, self._all_sets(wanted)) if wanted.gpus else most
        if wanted.numa_cells == 1:
            return min(most, self._one_cell(wanted, slots))
        if wanted.numa_cells == len(self.cells):
            return min(most, *slots, self._sets_of_all_cells(wanted))
        return min(most, self._several_cells(wanted, slots))

    def _host_wide(self, wanted: RequestClass) -> int:
        """How many servers the host's vCPUs, RAM and disk suffice for."""
        most, state = _MANY, self.state
        if wanted.vcpus:
            most = state.vcpus // wanted.vcpus
        if wanted.ram_mib and state.ram_mib < most * wanted.ram_mib:
            most = state.ram_mib // wanted.ram_mib
        if wanted.disk_gib and state.disk_gib < most * wanted.disk_gib:
            most = state.disk_gib // wanted.disk_gib
        # A guest with pinned CPUs has a NUMA topology.
        return 0 if wanted.pinned_cpus and not self.cells else most

    def _slots(self, wanted: RequestClass) -> list[int]:
        """How many guest cells the CPUs and RAM of each host cell suffice for."""
        vcpus, pinned, ram = wanted.cell_vcpus, wanted.cell_pinned_cpus, wanted.cell_ram_mib
        slots = []
        for cell in self.cells:
            most = cell.shared_cpus // vcpus if vcpus else _MANY
            if pinned and cell.pinned_cpus < most * pinned:
                most = cell.pinned_cpus // pinned
            if ram and cell.ram_mib < most * ram:
                most = cell.ram_mib // ram
            slots.append(most)
        return slots

    def _free(self, model: str | None) -> int:
        free = self.all_free.get(model)
        if free is None:
            free = self.all_free[model] = _matching(self.state.groups(), model)
        return free

    def _near(self, model: str | None) -> list[int]:
        free = self.near_free.get(model)
        if free is None:
            free = self.near_free[model] = [_matching(cell.gpus, model) for cell in self.cells]
        return free

    def _all_sets(self, wanted: RequestClass) -> int:
        """How many sets of GPUs there are, one for each server, wherever they are."""
        if wanted.linked and wanted.gpus > 1:
            return _linked_sets(self.state.groups(), wanted)
        return self._free(wanted.model) // wanted.gpus

    def _near_sets(self, wanted: RequestClass) -> list[int]:
        """The same for each cell."""
        if wanted.linked and wanted.gpus > 1:
            return [_linked_sets(cell.gpus, wanted) for cell in self.cells]
        size = wanted.gpus
        return [free // size for free in self._near(wanted.model)]

    def _sets_of_all_cells(self, wanted: RequestClass) -> int:
        if wanted.reach is not Reach.NEAR or not self.state.gpus:
            return self._all_sets(wanted)
        near = [group for cell in self.cells for group in cell.gpus]
        if wanted.linked and wanted.gpus > 1:
            return _linked_sets(near, wanted)
        return _matching(near, wanted.model) // wanted.gpus

    def _one_cell(self, wanted: RequestClass, slots: Sequence[int]) -> int:
        total = sum(map(min, slots, self._near_sets(wanted)))
        loose_groups = self.state.gpus
        if wanted.reach is Reach.NEAR or not loose_groups:
            return total
        if wanted.linked and wanted.gpus > 1:
            return min(sum(slots), total + _linked_sets(loose_groups, wanted))
        # GPUs of unknown nodes fill up what the cells lack, where they lack the fewest.
        size, loose = wanted.gpus, _matching(loose_groups, wanted.model)
        lacking = []
        for slot, near in zip(slots, self._near(wanted.model), strict=True):
            rest = slot - near // size
            if rest > 0:
                lacking.append(size - near % size)
                lacking += [size] * min(rest - 1, loose // size)
        for lack in sorted(lacking):
            if lack > loose:
                break
            loose -= lack
            total += 1
        return total

    def _several_cells(self, wanted: RequestClass, slots: Sequence[int]) -> int:
        """Guests one after the other, each on the cells with the most GPUs: no search."""
        if wanted.linked and wanted.gpus > 1:
            linked: dict[int, list[int]] = {}
            for index, cell in enumerate(self.cells):
                for model, link, free in cell.gpus:
                    if link != UNLINKED and wanted.model in (None, model):
                        linked.setdefault(link, [0] * len(self.cells))[index] += free
            supplies = list(linked.values())
        else:
            supplies = [list(self._near(wanted.model))]
        left = list(slots)
        return sum(_greedily(free, wanted, left) for free in supplies)


def _matching(groups: Iterable[GpuGroup], model: str | None) -> int:
    total = 0
    for group in groups:
        if model is None or group.model == model:
            total += group.free
    return total


def _linked_sets(groups: Iterable[GpuGroup], wanted: RequestClass) -> int:
    linked: dict[int, int] = {}
    for model, link, free in groups:
        if link != UNLINKED and wanted.model in (None, model):
            linked[link] = linked.get(link, 0) + free
    return sum(free // wanted.gpus for free in linked.values())


def _by_slots(slots: Sequence[int], cells: int, most: int) -> int:
    """How many guests of so many cells find as many different host cells each."""
    count = min(most, sum(slots) // cells)
    while count and sum(min(slot, count) for slot in slots) < cells * count:
        count = sum(min(slot, count) for slot in slots) // cells
    return count


def _greedily(free: list[int], wanted: RequestClass, slots: list[int]) -> int:
    count = 0
    while True:
        order = sorted(
            (index for index, slot in enumerate(slots) if slot > 0),
            key=lambda index: (free[index], slots[index]),
            reverse=True,
        )[: wanted.numa_cells]
        if len(order) < wanted.numa_cells or sum(free[i] for i in order) < wanted.gpus:
            return count
        lack = wanted.gpus
        for index in order:
            taken = min(lack, free[index])
            free[index] -= taken
            slots[index] -= 1
            lack -= taken
        count += 1
