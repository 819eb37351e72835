# SPDX-License-Identifier: Apache-2.0
"""The current states of the simulated hosts, and the hosts that a server fits on.

The fitting hosts are cached for each class of servers, and updated only for the hosts that changed
since the class was last requested.
"""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nova_gpu_passthrough.packing.allocate import possible_states
from nova_gpu_passthrough.packing.host_state import HostState
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.simulator.array_counts import HostTotals, is_floating
from nova_gpu_passthrough.simulator.ranker import FittingHosts, SimulatedHost

if TYPE_CHECKING:
    from nova_gpu_passthrough.simulator.ranker import Numbers

#: Number of cached states for each class.
_CACHED_STATES = 1 << 14


class _ClassCache:
    """The hosts that servers of one class fit on, and what these leave of host states."""

    __slots__ = ("_after", "_request_class", "changes", "fits", "floating")

    def __init__(self, request_class: RequestClass, hosts: int) -> None:
        self._request_class = request_class
        self._after: dict[HostState, Sequence[HostState]] = {}
        self.floating = is_floating(request_class)
        self.fits = np.zeros(hosts, np.bool_)
        #: Number of changes of hosts that ``fits`` includes; -1: it was never computed.
        self.changes = -1

    def after(self, state: HostState) -> Sequence[HostState]:
        """Return the possible states of a host after the placement; none if there is no room."""
        after = self._after.get(state)
        if after is None:
            if len(self._after) >= _CACHED_STATES:
                self._after.clear()
            after = self._after[state] = possible_states(state, self._request_class)
        return after


class SimulatedHosts:
    """The current states of all hosts of a fleet."""

    def __init__(self, fleet: Sequence[SimulatedHost]) -> None:
        self.states = [host.state for host in fleet]
        models = {group.model for state in self.states for group in state.gpu_groups()}
        self.totals = HostTotals(self.states, models)
        self._all = np.arange(len(fleet))
        self._changes: list[int] = []
        self._caches: dict[RequestClass, _ClassCache] = {}

    def put(self, index: int, state: HostState) -> None:
        """Record the state of a host, in canonical form."""
        self.states[index] = state
        self.totals.put(index, state)
        self._changes.append(index)

    def fitting(self, request_class: RequestClass) -> "CachedFittingHosts | None":
        """Return the hosts that a server of the class fits on; None if there is none."""
        cache = self._caches.get(request_class)
        if cache is None:
            cache = self._caches[request_class] = _ClassCache(request_class, len(self.states))
        changed = self._all
        if cache.changes >= 0:
            changed = np.array(sorted(set(self._changes[cache.changes :])), np.int64)
        cache.changes = len(self._changes)
        if changed.size:
            enough = self.totals.fit(request_class, changed)
            if not cache.floating:
                enough = np.array(
                    [index for index in enough.tolist() if cache.after(self.states[index])],
                    np.int64,
                )
            cache.fits[changed] = False
            cache.fits[enough] = True
        indices = cache.fits.nonzero()[0]
        return CachedFittingHosts(self, cache, indices) if indices.size else None


class CachedFittingHosts(FittingHosts):
    """The hosts of `SimulatedHosts` that one server fits on."""

    def __init__(self, hosts: SimulatedHosts, cache: _ClassCache, indices: "Numbers") -> None:
        self._hosts = hosts
        self._cache = cache
        self._indices = indices

    @property
    def hosts(self) -> "Numbers":
        """Indices of the hosts, ascending."""
        return self._indices

    @functools.cached_property
    def _bulk(self) -> "Numbers":
        bulk: Numbers = self._hosts.totals.bulk[self._indices]
        return bulk

    @property
    def vcpus(self) -> "Numbers":
        """Free vCPUs."""
        return self._bulk[:, 0]

    @property
    def ram_mib(self) -> "Numbers":
        """Free RAM."""
        return self._bulk[:, 1]

    @functools.cached_property
    def gpus(self) -> "Numbers":
        """Free GPUs."""
        gpus: Numbers = self._hosts.totals.gpus[self._indices, -1]
        return gpus

    def before(self, host: int) -> HostState:
        """Return the current state of a host."""
        return self._hosts.states[host]

    def after(self, host: int) -> Sequence[HostState]:
        """Return the possible states of a host after the placement."""
        return self._cache.after(self._hosts.states[host])
