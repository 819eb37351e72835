# SPDX-License-Identifier: Apache-2.0
"""Which GPUs and NUMA cells of simulated hosts this package's filter chooses for servers."""

from collections.abc import Sequence
from typing import NamedTuple

from nova_gpu_passthrough.packing.host_state import UNLINKED, HostState
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.scheduler.host_snapshot import HostSnapshot
from nova_gpu_passthrough.simulator.fit_inputs import gpu_request, host_gpus, link_name
from nova_gpu_passthrough.topology.fit import FitRefusal, fit

_CACHED_CHOICES = 1 << 15


class FilterChoice(NamedTuple):
    """The best choice of devices on a host for a server."""

    #: `DeviceChoice.numa_quality`; 1 without GPUs.
    quality: float
    #: The possible states of the host, by sets of NUMA cells that suit the server equally well.
    after: Sequence[HostState]


class FilterChoices:
    """Caches the choices, which depend only on the state of the host and the class."""

    def __init__(self) -> None:
        self._choices: dict[tuple[HostState, RequestClass], FilterChoice | None] = {}
        self._qualities: dict[object, float] = {}

    def best(self, state: HostState, request_class: RequestClass) -> FilterChoice | None:
        """Return the best choice; None if the filter refuses the host.

        :param state: in canonical form
        """
        key = state, request_class
        if key not in self._choices:
            if len(self._choices) >= _CACHED_CHOICES:
                self._choices.clear()
            self._choices[key] = _best(state, request_class)
        return self._choices[key]

    def quality(self, state: HostState, request_class: RequestClass) -> float:
        """Return `FilterChoice.quality`, faster than `best`; 0 if the filter refuses the host."""
        if not request_class.gpus:
            return 1.0
        key: object = state, request_class
        if not request_class.numa_cells:  # then only the GPUs matter
            gpus = [cell.gpus for cell in state.cells], state.gpus
            key = (
                repr(gpus),
                request_class.gpus,
                request_class.model,
                request_class.gpu_locality,
                request_class.linked,
            )
        quality = self._qualities.get(key)
        if quality is None:
            if len(self._qualities) >= _CACHED_CHOICES:
                self._qualities.clear()
            choice = self.best(state, request_class)
            quality = self._qualities[key] = choice.quality if choice else 0.0
        return quality


def _best(state: HostState, request_class: RequestClass) -> FilterChoice | None:
    links = {group.link for group in state.gpu_groups() if group.link != UNLINKED}
    snapshot = HostSnapshot(
        state,
        {number: number for number in range(len(state.cells))},
        {link_name(link): link for link in links},
    )
    if not request_class.gpus:
        after = snapshot.after(request_class)
        return FilterChoice(1.0, [after]) if after else None
    choices = fit(host_gpus(state, request_class), gpu_request(request_class))
    if isinstance(choices, FitRefusal):
        return None
    best = choices[0].fit_key()
    states: dict[HostState, None] = {}
    for choice in choices:
        if choice.fit_key() == best:
            after = snapshot.after(request_class, snapshot.locations(choice.gpus))
            if after:
                states[after] = None
    return FilterChoice(choices[0].numa_quality, list(states))
