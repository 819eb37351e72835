# SPDX-License-Identifier: Apache-2.0
"""Rankers that drive the policies of nova-scheduler, so that each policy is one class for both."""

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nova_gpu_passthrough.catalog import models
from nova_gpu_passthrough.packing.host_state import HostState
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.policies.base import (
    FreeGpuPolicy,
    HostPolicy,
    PlacementOption,
    Policy,
    PolicySettings,
)
from nova_gpu_passthrough.simulator.fit_inputs import gpu_request, host_gpus
from nova_gpu_passthrough.simulator.ranker import (
    FittingHosts,
    Ranker,
    ScoringRanker,
    SimulatedHost,
)
from nova_gpu_passthrough.topology.fit import FitRefusal, fit

if TYPE_CHECKING:
    from nova_gpu_passthrough.simulator.ranker import Scores

_CACHED_SCORES = 1 << 15


def ranker_of(policy: Policy) -> Ranker:
    """Return a ranker that drives the policy."""
    if isinstance(policy, HostPolicy):
        return HostPolicyRanker(policy)
    if isinstance(policy, FreeGpuPolicy):
        return FreeGpuPolicyRanker(policy)
    return ScorePolicyRanker(policy)


class FreeGpuPolicyRanker(ScoringRanker):
    """Chooses hosts by the number of GPUs that stay free, of any model.

    Servers without GPUs are placed on the hosts with the fewest free GPUs: the weigher keeps them
    away from GPUs, too, whatever the policy is, except that it considers the values of GPUs.
    """

    def __init__(self, policy: FreeGpuPolicy) -> None:
        self._policy = policy

    def begin(
        self, hosts: Sequence[SimulatedHost], mix: Mapping[RequestClass, float], rng: random.Random
    ) -> None:
        """Let the policy score all numbers of free GPUs."""
        most = max((host.state.free_gpus for host in hosts), default=0)
        self._scores: Scores = np.array(
            [self._policy.score_free_gpus(free) for free in range(most + 1)], np.float64
        )

    def changed(self, index: int, state: HostState) -> None:
        """Do nothing: `FittingHosts` has the free GPUs."""

    def scores(self, request_class: RequestClass, fitting: FittingHosts) -> "Scores":
        """Return the scores of the policy; without GPUs, the negative numbers of free GPUs."""
        if not request_class.gpus:
            return _fewest_gpus(fitting)
        scores: Scores = self._scores[fitting.gpus - request_class.gpus]
        return scores


class ScorePolicyRanker(ScoringRanker):
    """Chooses hosts by the score of a policy for the devices that fit the server best.

    Servers without GPUs are placed on the hosts with the fewest free GPUs.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._scores: dict[tuple[HostState, RequestClass], float] = {}

    def begin(
        self, hosts: Sequence[SimulatedHost], mix: Mapping[RequestClass, float], rng: random.Random
    ) -> None:
        """Do nothing: scores depend on a single host only."""

    def changed(self, index: int, state: HostState) -> None:
        """Do nothing: scores depend on the current state only."""

    def scores(self, request_class: RequestClass, fitting: FittingHosts) -> "Scores":
        """Return the scores of the policy; without GPUs, the negative numbers of free GPUs."""
        if not request_class.gpus:
            return _fewest_gpus(fitting)
        states = [fitting.before(host) for host in fitting.hosts.tolist()]
        return np.array([self._score(state, request_class) for state in states], np.float64)

    def _score(self, state: HostState, request_class: RequestClass) -> float:
        key = state, request_class
        score = self._scores.get(key)
        if score is None:
            if len(self._scores) >= _CACHED_SCORES:
                self._scores.clear()
            host, request = host_gpus(state, request_class), gpu_request(request_class)
            choices = fit(host, request)
            score = 0.0
            if not isinstance(choices, FitRefusal):
                score = self._policy.score(host, request, choices[0])
            self._scores[key] = score
        return score


class HostPolicyRanker(Ranker):
    """Chooses hosts as a `HostPolicy` ranks them, with the mix of the replay.

    As in nova-scheduler, the price decides between the possible states of one host, and the rank
    between hosts. A policy with a ranker of its own is registered under its name as a ranker, too:
    see `FragmentationRanker`, which is faster.
    """

    def __init__(self, policy: HostPolicy) -> None:
        self._policy = policy

    def begin(
        self, hosts: Sequence[SimulatedHost], mix: Mapping[RequestClass, float], rng: random.Random
    ) -> None:
        """Configure the policy, and let it observe all empty hosts."""
        self._policy.configure(policy_settings(hosts, mix))
        self._names = [host.name for host in hosts]
        for host in hosts:
            self._policy.observe(host.name, host.state)

    def changed(self, index: int, state: HostState) -> None:
        """Let the policy observe the state of a host."""
        self._policy.observe(self._names[index], state)

    def choose(self, request_class: RequestClass, fitting: FittingHosts) -> tuple[int, HostState]:
        """Return the first of the hosts with the highest rank, and its cheapest state."""
        self._policy.learn(request_class)
        hosts: list[int] = fitting.hosts.tolist()
        options = [
            PlacementOption(fitting.before(host), self._after(fitting, host)) for host in hosts
        ]
        ranks = self._policy.rank(options)
        best = max(range(len(hosts)), key=ranks.__getitem__)
        return hosts[best], options[best].after

    def _after(self, fitting: FittingHosts, host: int) -> HostState:
        before, states = fitting.before(host), fitting.after(host)
        if len(states) < 2:
            return states[0]
        return min(states, key=lambda after: self._policy.price(before, after))


def policy_settings(
    hosts: Sequence[SimulatedHost], mix: Mapping[RequestClass, float]
) -> PolicySettings:
    """Return settings with the mix and the values of GPUs; requests are not learned.

    GPUs have the values of the catalogue if it contains all models of the fleet. Otherwise all GPUs
    have the same value.
    """
    fleet_models = {group.model for host in hosts for group in host.state.gpu_groups()}
    if fleet_models <= set(models.names()):
        return PolicySettings(mix=mix)
    requested = {request_class.model for request_class in mix if request_class.model}
    return PolicySettings(mix=mix, gpu_values=dict.fromkeys(fleet_models | requested, 1.0))


def _fewest_gpus(fitting: FittingHosts) -> "Scores":
    return -fitting.gpus.astype(np.float64)
