# SPDX-License-Identifier: Apache-2.0
"""The host that nova-scheduler takes with this package's weigher beside Nova's own."""

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from oslo_config import cfg

from nova_gpu_passthrough import conf as gpu_conf
from nova_gpu_passthrough.packing.host_state import HostState
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.policies import weight
from nova_gpu_passthrough.policies.fragmentation import DIGITS
from nova_gpu_passthrough.simulator.nova.choices import Choices
from nova_gpu_passthrough.simulator.nova.nova import Nova
from nova_gpu_passthrough.simulator.ranker import Offers, SimHost
from nova_gpu_passthrough.simulator.rankers.fragmentation import Fragmentation
from nova_gpu_passthrough.simulator.rankers.priced import places

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Scores = NDArray[np.float64]
    Numbers = NDArray[np.int64]


class NovaAndFragmentation(Fragmentation):
    """Nova's default weighers and ``GpuPassthroughWeigher`` with the policy ``fragmentation``.

    Multipliers are the defaults. Unlike the ranker ``fragmentation`` it does as the weigher does in
    nova-scheduler: on how few NUMA nodes a server's own GPUs are goes before the price, and where
    hosts are equal, Nova's weighers decide. Servers get the devices and cells that the filter
    chooses.

    Two things differ from a scheduler that runs: this one knows all hosts from the beginning, not
    only those that a request has met, and the mix is that of the whole trace.
    """

    name = "nova+fragmentation"

    def begin(
        self, hosts: Sequence[SimHost], mix: Mapping[RequestClass, float], rng: random.Random
    ) -> None:
        """Weigh and value all hosts."""
        options = cfg.ConfigOpts()
        gpu_conf.register_opts(options)
        section = options[gpu_conf.GROUP.name]
        self._multiplier: float = section.weight_multiplier
        self._avoidance: float = section.avoid_gpu_hosts
        self._choices = Choices()
        self._fits: dict[RequestClass, _Fits] = {}
        self._nova = Nova()
        self._nova.begin(hosts, mix, rng)
        super().begin(hosts, mix, rng)

    def changed(self, index: int, state: HostState) -> None:
        """Weigh and value a host anew."""
        self._nova.changed(index, state)
        super().changed(index, state)

    def choose(self, wanted: RequestClass, offers: Offers) -> tuple[int, HostState]:
        """The host with the largest sum of weights, and what the filter's choice leaves of it."""
        fitting = _Fitting(offers, wanted, self._choices)
        host = self._nova.first(offers.hosts, self.scores(wanted, fitting))
        return host, self._cheapest(wanted, fitting, host)

    def scores(self, wanted: RequestClass, offers: Offers) -> "Scores":
        """The sums of weights."""
        hosts = offers.hosts
        total = self._nova.weights(hosts)
        if len(hosts) > 1:
            total += self._multiplier * self._ours(wanted, offers)
        return total

    def _ours(self, wanted: RequestClass, offers: Offers) -> "Scores":
        """What the weigher says: 0..1."""
        quality = self._quality(wanted, offers.hosts)
        # Places by price and what is free, then by quality before both.
        within = -super().scores(wanted, offers)
        place = places(-quality.round(DIGITS), within).astype(np.float64)
        rank = 1.0 / (1.0 + place)
        ours: Scores
        if wanted.gpus:
            ours = weight.QUALITY * quality + weight.POLICY * rank
        else:
            ours = 1.0 - self._avoidance * (1.0 - rank)
        return ours

    def _quality(self, wanted: RequestClass, hosts: "Numbers") -> "Scores":
        known = self._fits.get(wanted)
        stale = hosts.tolist()
        if known is None:
            known = self._fits[wanted] = _Fits(len(self._states))
        else:
            # A host to which such a server did not go before has changed, too.
            stale = set(self._changes[known.seen :]).intersection(stale)
        known.seen = len(self._changes)
        for index in stale:
            known.quality[index] = self._choices.quality(self._states[index], wanted)
        return known.quality[hosts]

    def _cheapest(self, wanted: RequestClass, offers: Offers, host: int) -> HostState:
        after = offers.after(host)
        if len(after) < 2:
            return after[0]
        before = offers.before(host)
        return min(after, key=lambda state: self.policy.price(before, state))


class _Fits:
    """How well servers of a class fit on each host."""

    __slots__ = ("quality", "seen")

    def __init__(self, hosts: int) -> None:
        self.seen = 0
        self.quality: Scores = np.zeros(hosts)


class _Fitting(Offers):
    """Offers of which the filter has left what it prefers."""

    def __init__(self, offers: Offers, wanted: RequestClass, choices: Choices) -> None:
        self._offers = offers
        self._wanted = wanted
        self._choices = choices

    @property
    def hosts(self) -> "Numbers":
        return self._offers.hosts

    @property
    def vcpus(self) -> "Numbers":
        return self._offers.vcpus

    @property
    def ram_mib(self) -> "Numbers":
        return self._offers.ram_mib

    @property
    def gpus(self) -> "Numbers":
        return self._offers.gpus

    def before(self, host: int) -> HostState:
        return self._offers.before(host)

    def after(self, host: int) -> Sequence[HostState]:
        choice = self._choices.best(self._offers.before(host), self._wanted)
        return choice.after if choice else self._offers.after(host)
