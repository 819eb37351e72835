# SPDX-License-Identifier: Apache-2.0
"""The simulated hosts as they are now, and which of them a server fits on.

What fits where is kept for each class of servers, and brought up to date for those hosts only that
changed since the class was last asked for.
"""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nova_gpu_passthrough.packing.allocate import placements
from nova_gpu_passthrough.packing.host_state import HostState
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.simulator.amounts import Amounts, is_floating
from nova_gpu_passthrough.simulator.ranker import Offers, SimHost

if TYPE_CHECKING:
    from nova_gpu_passthrough.simulator.ranker import Numbers

#: Of how many states of a class it is remembered what can be left of them.
_REMEMBERED = 1 << 14


class _Class:
    """What is known of a class of servers."""

    __slots__ = ("after", "fits", "floating", "seen")

    def __init__(self, wanted: RequestClass, hosts: int) -> None:
        self.floating = is_floating(wanted)
        self.fits = np.zeros(hosts, np.bool_)
        #: How many changes are taken into account; -1: not even the beginning.
        self.seen = -1
        self.after: dict[HostState, Sequence[HostState]] = {}


class Hosts:
    """What every host of a fleet has left."""

    def __init__(self, fleet: Sequence[SimHost]) -> None:
        self.states = [host.state for host in fleet]
        models = {group.model for state in self.states for group in state.groups()}
        self.amounts = Amounts(self.states, models)
        self._all = np.arange(len(fleet))
        self._changes: list[int] = []
        self._classes: dict[RequestClass, _Class] = {}

    def put(self, index: int, state: HostState) -> None:
        """Note what a host has left, in canonical form."""
        self.states[index] = state
        self.amounts.put(index, state)
        self._changes.append(index)

    def offers(self, wanted: RequestClass) -> "HostOffers | None":
        """The hosts that such a server fits on; None: there is none."""
        known = self._classes.get(wanted)
        if known is None:
            known = self._classes[wanted] = _Class(wanted, len(self.states))
        changed = self._all
        if known.seen >= 0:
            changed = np.array(sorted(set(self._changes[known.seen :])), np.int64)
        known.seen = len(self._changes)
        if changed.size:
            enough = self.amounts.fit(wanted, changed)
            if not known.floating:
                enough = np.array(
                    [index for index in enough.tolist() if self._after(known, wanted, index)],
                    np.int64,
                )
            known.fits[changed] = False
            known.fits[enough] = True
        found = known.fits.nonzero()[0]
        return HostOffers(self, wanted, known, found) if found.size else None

    def _after(self, known: _Class, wanted: RequestClass, index: int) -> Sequence[HostState]:
        state = self.states[index]
        after = known.after.get(state)
        if after is None:
            if len(known.after) >= _REMEMBERED:
                known.after.clear()
            after = known.after[state] = placements(state, wanted)
        return after


class HostOffers(Offers):
    """Those of `Hosts` for one server."""

    def __init__(self, hosts: Hosts, wanted: RequestClass, known: _Class, found: "Numbers") -> None:
        self._hosts = hosts
        self._wanted = wanted
        self._known = known
        self._found = found

    @property
    def hosts(self) -> "Numbers":
        """Indices of the hosts, ascending."""
        return self._found

    @functools.cached_property
    def _bulk(self) -> "Numbers":
        bulk: Numbers = self._hosts.amounts.bulk[self._found]
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
        gpus: Numbers = self._hosts.amounts.gpus[self._found, -1]
        return gpus

    def before(self, host: int) -> HostState:
        """A host's state."""
        return self._hosts.states[host]

    def after(self, host: int) -> Sequence[HostState]:
        """What can be left of it."""
        return self._hosts._after(self._known, self._wanted, host)
