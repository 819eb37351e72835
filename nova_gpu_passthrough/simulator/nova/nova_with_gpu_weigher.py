# SPDX-License-Identifier: Apache-2.0
"""The ranker ``nova+fragmentation``: Nova's weighers together with the one of this package."""

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from oslo_config import cfg

from nova_gpu_passthrough import conf as gpu_conf
from nova_gpu_passthrough.packing.host_state import HostState
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.policies import base
from nova_gpu_passthrough.policies.fragmentation import DIGITS
from nova_gpu_passthrough.simulator.nova.filter_choices import FilterChoices
from nova_gpu_passthrough.simulator.nova.nova import NovaRanker
from nova_gpu_passthrough.simulator.ranker import FittingHosts, SimulatedHost
from nova_gpu_passthrough.simulator.rankers.fragmentation import FragmentationRanker
from nova_gpu_passthrough.simulator.rankers.value_loss import positions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Scores = NDArray[np.float64]
    Numbers = NDArray[np.int64]


class NovaFragmentationRanker(FragmentationRanker):
    """Nova's default weighers and ``GpuPassthroughWeigher`` with the policy ``fragmentation``.

    All multipliers are the defaults. Unlike the ranker ``fragmentation``, it follows the weigher in
    nova-scheduler: few NUMA nodes for a server's own GPUs go before the price, and between equal
    hosts Nova's weighers decide. Servers get the devices and cells that the filter chooses.

    Two things differ from a running scheduler: this one knows all hosts from the beginning, not
    only those that previous requests reached, and the mix is that of the whole trace.
    """

    def begin(
        self, hosts: Sequence[SimulatedHost], mix: Mapping[RequestClass, float], rng: random.Random
    ) -> None:
        """Weigh and value all empty hosts."""
        options = cfg.ConfigOpts()
        gpu_conf.register_opts(options)
        section = options[gpu_conf.GROUP.name]
        self._multiplier: float = section.weight_multiplier
        self._avoidance: float = section.avoid_gpu_hosts
        self._choices = FilterChoices()
        self._qualities: dict[RequestClass, _ClassQuality] = {}
        self._nova = NovaRanker()
        self._nova.begin(hosts, mix, rng)
        super().begin(hosts, mix, rng)

    def changed(self, index: int, state: HostState) -> None:
        """Weigh and value a changed host again."""
        self._nova.changed(index, state)
        super().changed(index, state)

    def choose(self, request_class: RequestClass, fitting: FittingHosts) -> tuple[int, HostState]:
        """Return the host with the largest sum of weights, and what the filter's choice leaves."""
        filtered = _FilteredHosts(fitting, request_class, self._choices)
        host = self._nova.first(fitting.hosts, self.scores(request_class, filtered))
        return host, self._cheapest(filtered, host)

    def scores(self, request_class: RequestClass, fitting: FittingHosts) -> "Scores":
        """Return the sums of weights."""
        hosts = fitting.hosts
        total = self._nova.weights(hosts)
        if len(hosts) > 1:
            total += self._multiplier * self._gpu_weights(request_class, fitting)
        return total

    def _gpu_weights(self, request_class: RequestClass, fitting: FittingHosts) -> "Scores":
        """Return the weights by ``GpuPassthroughWeigher``, 0..1."""
        quality = self._quality(request_class, fitting.hosts)
        # Positions by price and what is free, then by quality before both.
        by_price = -super().scores(request_class, fitting)
        position = positions(-quality.round(DIGITS), by_price).astype(np.float64)
        rank = 1.0 / (1.0 + position)
        gpu_weights: Scores
        if request_class.gpus:
            gpu_weights = base.QUALITY_SHARE * quality + base.POLICY_SHARE * rank
        else:
            gpu_weights = 1.0 - self._avoidance * (1.0 - rank)
        return gpu_weights

    def _quality(self, request_class: RequestClass, hosts: "Numbers") -> "Scores":
        cache = self._qualities.get(request_class)
        stale = hosts.tolist()
        if cache is None:
            cache = self._qualities[request_class] = _ClassQuality(len(self._states))
        else:
            # A host on which such a server did not fit before has changed, too.
            stale = set(self._changes[cache.changes :]).intersection(stale)
        cache.changes = len(self._changes)
        for index in stale:
            cache.quality[index] = self._choices.quality(self._states[index], request_class)
        return cache.quality[hosts]

    def _cheapest(self, fitting: FittingHosts, host: int) -> HostState:
        after = fitting.after(host)
        if len(after) < 2:
            return after[0]
        before = fitting.before(host)
        return min(after, key=lambda state: self.policy.price(before, state))


class _ClassQuality:
    """How well servers of one class fit on each host."""

    __slots__ = ("changes", "quality")

    def __init__(self, hosts: int) -> None:
        #: Number of changes of hosts that ``quality`` includes.
        self.changes = 0
        self.quality: Scores = np.zeros(hosts)


class _FilteredHosts(FittingHosts):
    """Fitting hosts with the states that the filter's preferred choices leave."""

    def __init__(
        self, fitting: FittingHosts, request_class: RequestClass, choices: FilterChoices
    ) -> None:
        self._fitting = fitting
        self._request_class = request_class
        self._choices = choices

    @property
    def hosts(self) -> "Numbers":
        return self._fitting.hosts

    @property
    def vcpus(self) -> "Numbers":
        return self._fitting.vcpus

    @property
    def ram_mib(self) -> "Numbers":
        return self._fitting.ram_mib

    @property
    def gpus(self) -> "Numbers":
        return self._fitting.gpus

    def before(self, host: int) -> HostState:
        return self._fitting.before(host)

    def after(self, host: int) -> Sequence[HostState]:
        choice = self._choices.best(self._fitting.before(host), self._request_class)
        return choice.after if choice else self._fitting.after(host)
