# SPDX-License-Identifier: Apache-2.0
"""Which devices and cells of simulated hosts servers get by this package's filter."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from nova_gpu_passthrough.packing.host_state import UNLINKED, GpuGroup, HostState
from nova_gpu_passthrough.packing.request_class import Reach, RequestClass
from nova_gpu_passthrough.scheduler.host_snapshot import WholeHost
from nova_gpu_passthrough.topology.fit import Refusal, fit
from nova_gpu_passthrough.topology.model import (
    Demand,
    Gpu,
    GpuRequest,
    GuestCell,
    HostGpus,
    NumaCell,
    NumaPolicy,
    Preference,
)

_POLICY = {
    Reach.ANYWHERE: NumaPolicy.PREFERRED,
    Reach.NOT_FAR: NumaPolicy.LEGACY,
    Reach.NEAR: NumaPolicy.REQUIRED,
}
_DEMAND = "gpu"
_REMEMBERED = 1 << 15


class Choice(NamedTuple):
    """The best that a host offers a server."""

    #: `DeviceChoice.numa_quality`; 1 without GPUs.
    quality: float
    #: What can be left of the host, by sets of NUMA cells that serve the server equally well.
    after: Sequence[HostState]


class Choices:
    """Remembers them: they depend on nothing but a host's state and the class."""

    def __init__(self) -> None:
        self._known: dict[tuple[HostState, RequestClass], Choice | None] = {}
        self._qualities: dict[object, float] = {}

    def best(self, state: HostState, wanted: RequestClass) -> Choice | None:
        """The best choice; None if the filter refuses the host.

        :param state: in canonical form
        """
        key = state, wanted
        if key not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[key] = _best(state, wanted)
        return self._known[key]

    def quality(self, state: HostState, wanted: RequestClass) -> float:
        """`Choice.quality`, quicker; 0 if the filter refuses the host."""
        if not wanted.gpus:
            return 1.0
        key: object = state, wanted
        if not wanted.numa_cells:  # then only the GPUs decide
            gpus = [cell.gpus for cell in state.cells], state.gpus
            key = repr(gpus), wanted.gpus, wanted.model, wanted.reach, wanted.linked
        quality = self._qualities.get(key)
        if quality is None:
            if len(self._qualities) >= _REMEMBERED:
                self._qualities.clear()
            choice = self.best(state, wanted)
            quality = self._qualities[key] = choice.quality if choice else 0.0
        return quality


def _best(state: HostState, wanted: RequestClass) -> Choice | None:
    links = sorted({group.link for group in state.groups() if group.link != UNLINKED})
    whole = WholeHost(
        state,
        {number: number for number in range(len(state.cells))},
        {_link(number): number for number in links},
    )
    if not wanted.gpus:
        after = whole.after(wanted)
        return Choice(1.0, [after]) if after else None
    answer = fit(_offer(state, wanted), _request(wanted))
    if isinstance(answer, Refusal):
        return None
    best = answer[0].fit_key()
    found: dict[HostState, None] = {}
    for choice in answer:
        if choice.fit_key() == best:
            after = whole.after(wanted, whole.places(choice.gpus))
            if after:
                found[after] = None
    return Choice(answer[0].numa_quality, list(found))


def _offer(state: HostState, wanted: RequestClass) -> HostGpus:
    gpus: list[Gpu] = []
    for node, cell in enumerate(state.cells):
        gpus += _gpus(cell.gpus, node, len(gpus))
    gpus += _gpus(state.gpus, None, len(gpus))
    cells = (
        tuple(
            # What is free stands for what there is: Nova's own filter refuses later on.
            NumaCell(number, None, cell.shared_cpus, cell.pinned_cpus, cell.ram_mib, cell.ram_mib)
            for number, cell in enumerate(state.cells)
        )
        if wanted.numa_cells
        else ()
    )
    fitting = tuple(gpu for gpu in gpus if wanted.model in (None, gpu.model))
    return HostGpus({_DEMAND: fitting}, cells=cells)


def _gpus(groups: Sequence[GpuGroup], node: int | None, start: int) -> list[Gpu]:
    numbers = itertools.count(start)
    return [
        Gpu(
            f"0000:{next(numbers):02x}:00.0",
            group.model,
            node,
            () if group.link == UNLINKED else (_link(group.link),),
        )
        for group in groups
        for _ in range(group.free)
    ]


def _link(number: int) -> str:
    return f"link{number}"


def _request(wanted: RequestClass) -> GpuRequest:
    cell = GuestCell(wanted.cell_vcpus, wanted.cell_pinned_cpus, wanted.cell_ram_mib)
    near = wanted.reach is Reach.NEAR and not wanted.numa_cells
    return GpuRequest(
        (Demand(_DEMAND, _DEMAND, wanted.gpus, _POLICY[wanted.reach]),),
        link=Preference.REQUIRED if wanted.linked else Preference.PREFERRED,
        numa=Preference.REQUIRED if near else Preference.PREFERRED,
        guest_cells=(cell,) * wanted.numa_cells,
    )
