# SPDX-License-Identifier: Apache-2.0
"""Count the servers of a class that fit on a host, and the GPUs that they use.

This runs for every class of a mix on every new state of every host. So it uses arithmetic instead
of a search, and computes what classes have in common once for a state.
"""

from collections.abc import Iterable, Sequence

from nova_gpu_passthrough.packing.host_state import UNLINKED, GpuGroup, HostState
from nova_gpu_passthrough.packing.request_class import GpuLocality, RequestClass

#: Upper limit of the servers on a host.
_MANY = 1 << 30


def usable_gpus(state: HostState, request: RequestClass) -> int:
    """Return how many free GPUs of the host servers of the class can use in total."""
    return max_servers(state, request) * request.gpus


def usable_gpus_by_class(state: HostState, classes: Iterable[RequestClass]) -> list[int]:
    """`usable` for several classes, faster than one by one."""
    count = _Counter(state).servers
    return [count(request) * request.gpus for request in classes]


def max_servers(state: HostState, request: RequestClass) -> int:
    """Return how many servers of the class fit on the host together.

    The result is exact for guests without NUMA topology, with one cell, and with as many cells as
    the host. For other guests it is a lower bound, and also for linked GPUs whose NUMA node is
    unknown on a host that has other GPUs, too.
    """
    return _Counter(state).servers(request)


class _Counter:
    """A host state with the intermediate results for all classes."""

    __slots__ = ("all_free", "cells", "has_near", "near_free", "state")

    def __init__(self, state: HostState) -> None:
        self.state = state
        self.cells = state.cells
        self.has_near = any(cell.gpus for cell in state.cells)
        #: Free GPUs by model (None: any model), of the host and of each cell.
        self.all_free: dict[str | None, int] = {}
        self.near_free: dict[str | None, list[int]] = {}

    def servers(self, request: RequestClass) -> int:
        if request.gpus and self._free(request.model) < request.gpus:
            return 0
        most = self._host_wide(request)
        if most <= 0:
            return 0
        if not request.numa_cells:
            if not request.gpus:
                return most
            if request.gpu_locality is not GpuLocality.LOCAL:
                return min(most, self._all_sets(request))
            return min(most, sum(self._near_sets(request)))
        if request.numa_cells > len(self.cells):
            return 0
        slots = self._slots(request)
        if (
            not request.gpus
            or request.gpu_locality is GpuLocality.ANY_NODE
            or (request.gpu_locality is GpuLocality.LOCAL_OR_UNKNOWN and not self.has_near)
        ):
            most = _count_by_slots(slots, request.numa_cells, most)
            return min(most, self._all_sets(request)) if request.gpus else most
        if request.numa_cells == 1:
            return min(most, self._one_cell(request, slots))
        if request.numa_cells == len(self.cells):
            return min(most, *slots, self._sets_of_all_cells(request))
        return min(most, self._several_cells(request, slots))

    def _host_wide(self, request: RequestClass) -> int:
        """Return for how many servers the vCPUs, RAM and disk of the host suffice."""
        most, state = _MANY, self.state
        if request.vcpus:
            most = state.vcpus // request.vcpus
        if request.ram_mib and state.ram_mib < most * request.ram_mib:
            most = state.ram_mib // request.ram_mib
        if request.disk_gib and state.disk_gib < most * request.disk_gib:
            most = state.disk_gib // request.disk_gib
        # A guest with pinned CPUs has a NUMA topology.
        return 0 if request.pinned_cpus and not self.cells else most

    def _slots(self, request: RequestClass) -> list[int]:
        """Return for how many guest cells the CPUs and RAM of each host cell suffice."""
        vcpus, pinned, ram = request.cell_vcpus, request.cell_pinned_cpus, request.cell_ram_mib
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
            free = self.all_free[model] = _matching(self.state.gpu_groups(), model)
        return free

    def _near(self, model: str | None) -> list[int]:
        free = self.near_free.get(model)
        if free is None:
            free = self.near_free[model] = [_matching(cell.gpus, model) for cell in self.cells]
        return free

    def _all_sets(self, request: RequestClass) -> int:
        """Return for how many servers the GPUs of the host suffice, on any NUMA nodes."""
        if request.linked and request.gpus > 1:
            return _linked_sets(self.state.gpu_groups(), request)
        return self._free(request.model) // request.gpus

    def _near_sets(self, request: RequestClass) -> list[int]:
        """Return for how many servers the GPUs of each cell suffice."""
        if request.linked and request.gpus > 1:
            return [_linked_sets(cell.gpus, request) for cell in self.cells]
        size = request.gpus
        return [free // size for free in self._near(request.model)]

    def _sets_of_all_cells(self, request: RequestClass) -> int:
        if request.gpu_locality is not GpuLocality.LOCAL or not self.state.gpus:
            return self._all_sets(request)
        near = [group for cell in self.cells for group in cell.gpus]
        if request.linked and request.gpus > 1:
            return _linked_sets(near, request)
        return _matching(near, request.model) // request.gpus

    def _one_cell(self, request: RequestClass, slots: Sequence[int]) -> int:
        total = sum(map(min, slots, self._near_sets(request)))
        loose_groups = self.state.gpus
        if request.gpu_locality is GpuLocality.LOCAL or not loose_groups:
            return total
        if request.linked and request.gpus > 1:
            return min(sum(slots), total + _linked_sets(loose_groups, request))
        # GPUs of unknown nodes complete sets of the cells, those that lack the fewest first.
        size, loose = request.gpus, _matching(loose_groups, request.model)
        lacking = []
        for slot, near in zip(slots, self._near(request.model), strict=True):
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

    def _several_cells(self, request: RequestClass, slots: Sequence[int]) -> int:
        """Place guests one after the other, each on the cells with the most GPUs (no search)."""
        if request.linked and request.gpus > 1:
            linked: dict[int, list[int]] = {}
            for index, cell in enumerate(self.cells):
                for model, link, free in cell.gpus:
                    if link != UNLINKED and request.model in (None, model):
                        linked.setdefault(link, [0] * len(self.cells))[index] += free
            supplies = list(linked.values())
        else:
            supplies = [list(self._near(request.model))]
        left = list(slots)
        return sum(_count_greedily(free, request, left) for free in supplies)


def _matching(groups: Iterable[GpuGroup], model: str | None) -> int:
    total = 0
    for group in groups:
        if model is None or group.model == model:
            total += group.free
    return total


def _linked_sets(groups: Iterable[GpuGroup], request: RequestClass) -> int:
    linked: dict[int, int] = {}
    for model, link, free in groups:
        if link != UNLINKED and request.model in (None, model):
            linked[link] = linked.get(link, 0) + free
    return sum(free // request.gpus for free in linked.values())


def _count_by_slots(slots: Sequence[int], cells: int, most: int) -> int:
    """Return how many guests with ``cells`` cells fit, each on different host cells."""
    count = min(most, sum(slots) // cells)
    while count and sum(min(slot, count) for slot in slots) < cells * count:
        count = sum(min(slot, count) for slot in slots) // cells
    return count


def _count_greedily(free: list[int], request: RequestClass, slots: list[int]) -> int:
    count = 0
    while True:
        order = sorted(
            (index for index, slot in enumerate(slots) if slot > 0),
            key=lambda index: (free[index], slots[index]),
            reverse=True,
        )[: request.numa_cells]
        if len(order) < request.numa_cells or sum(free[i] for i in order) < request.gpus:
            return count
        lack = request.gpus
        for index in order:
            taken = min(lack, free[index])
            free[index] -= taken
            slots[index] -= 1
            lack -= taken
        count += 1
