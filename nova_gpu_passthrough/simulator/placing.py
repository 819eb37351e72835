# SPDX-License-Identifier: Apache-2.0
"""Hosts, the ranker that chooses among them, and what came of it so far."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.packing.host_state import HostState
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.simulator import split, stranded
from nova_gpu_passthrough.simulator.hosts import Hosts
from nova_gpu_passthrough.simulator.outcome import Outcome
from nova_gpu_passthrough.simulator.ranker import Ranker, SimHost


class Placing:
    """One run of a ranker.

    :param mix: what the ranker believes will be asked for
    :raises UserError: if no host has GPUs, or the mix has none
    """

    def __init__(
        self, fleet: Sequence[SimHost], ranker: Ranker, mix: Mapping[RequestClass, float], seed: int
    ) -> None:
        self.total_gpus = sum(host.gpus for host in fleet)
        if not self.total_gpus:
            raise UserError("no host has GPUs, so there is nothing to simulate; name other hosts")
        if not any(wanted.gpus for wanted in mix):
            raise UserError("no task asks for GPUs, so there is nothing to simulate")
        self.hosts = Hosts(fleet)
        self._ranker = ranker
        self._mix = mix
        self._seed = seed
        self.allocated = self.asked = self.placed = 0
        self.refused: Counter[int] = Counter()
        self._several = self._numa_split = self._link_split = 0
        ranker.begin(fleet, mix, random.Random(f"ranker {seed}"))

    def ask(self, wanted: RequestClass) -> tuple[int, HostState] | None:
        """Place a server that is asked for, or refuse it."""
        self.asked += 1
        found = self.place(wanted)
        if found is None:
            self.refused[wanted.gpus] += 1
        return found

    def place(self, wanted: RequestClass) -> tuple[int, HostState] | None:
        """The index of a server's host, and what is left of it; None: it fits nowhere."""
        offers = self.hosts.offers(wanted)
        if offers is None:
            return None
        index, after = self._ranker.choose(wanted, offers)
        before = self.hosts.states[index]
        self._put(index, after)
        self.placed += 1
        self.allocated += wanted.gpus
        if wanted.gpus > 1:
            self._several += 1
            self._numa_split += split.over_numa_nodes(before, after)
            self._link_split += split.over_links(before, after)
        return index, after

    def release(self, wanted: RequestClass, index: int, state: HostState) -> None:
        """Note that a server left its host, and what that has then."""
        self.allocated -= wanted.gpus
        self._put(index, state)

    @property
    def percent(self) -> float:
        """% of GPUs allocated."""
        return 100.0 * self.allocated / self.total_gpus

    def outcome(self, course: Mapping[float, float]) -> Outcome:
        """What came of it; the course may still grow."""
        return Outcome(
            self._seed,
            self.total_gpus,
            self.percent,
            self.total_gpus - self.allocated,
            self.asked,
            self.refused.total(),
            self.placed,
            dict(sorted(self.refused.items())),
            stranded.count(self.hosts.states, self._mix),
            self._several,
            self._numa_split,
            self._link_split,
            course,
        )

    def _put(self, index: int, state: HostState) -> None:
        self.hosts.put(index, state)
        self._ranker.changed(index, state)
