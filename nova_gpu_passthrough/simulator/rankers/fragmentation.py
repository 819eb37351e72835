# SPDX-License-Identifier: Apache-2.0
"""The policy ``fragmentation``, driven by the simulator."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nova_gpu_passthrough.catalog import models
from nova_gpu_passthrough.packing.host_state import HostState
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.policies import fragmentation
from nova_gpu_passthrough.policies.mix import Mix
from nova_gpu_passthrough.simulator.amounts import Amounts, Needs
from nova_gpu_passthrough.simulator.ranker import SimHost
from nova_gpu_passthrough.simulator.rankers.priced import PricedRanker, places

if TYPE_CHECKING:
    from nova_gpu_passthrough.simulator.ranker import Numbers, Scores


class Fragmentation(PricedRanker):
    """The policy's own object, as nova-scheduler has it, with the mix that it is given.

    It keeps the supply of each class and gives the weights and what states are worth. Where a
    host's totals decide that, many states are valued at once by arrays; the result is the same.
    Nothing is learned on the way. GPUs are worth what the catalogue says if it knows all models of
    the fleet, else all the same.
    """

    name = "fragmentation"

    def prepare(
        self, hosts: Sequence[SimHost], mix: Mapping[RequestClass, float], amounts: Amounts
    ) -> Sequence[RequestClass]:
        """Make the policy."""
        there = {group.model for host in hosts for group in host.state.groups()}
        self._known_models = there <= set(models.names())
        self.policy = fragmentation.Fragmentation(Mix(mix), self._value)
        self._names = [host.name for host in hosts]
        for host in hosts:
            self.policy.observe(host.name, host.state)
        classes = list(self.policy.classes)
        self._needs = Needs(classes, amounts)
        #: What a GPU of each host is worth. A class of another model finds none there.
        self._worth = np.array([self._dearest(host.state) for host in hosts])
        self._sizes = np.array([wanted.gpus for wanted in classes], np.float64)
        return classes

    def changed(self, index: int, state: HostState) -> None:
        """Let the policy know what a host has left."""
        super().changed(index, state)
        self.policy.observe(self._names[index], state)

    def row(self, state: HostState) -> Sequence[float]:
        """What is usable there, as the policy says."""
        return self.policy.worths(state)

    def rows(self, hosts: "Numbers", bulk: "Numbers", gpus: "Numbers") -> "Scores":
        """The same by arrays."""
        worths: Scores = self._needs.usable(bulk, gpus) * self._worth[hosts, None]
        return worths

    def rows_of(self, states: Sequence[HostState], servers: "Scores") -> "Scores":
        """The same by arrays, where cells count."""
        worth = np.array([self._dearest(state) for state in states])
        worths: Scores = servers * self._sizes * worth[:, None]
        return worths

    def weights(self) -> "Scores":
        """The policy's."""
        return np.array(self.policy.weights())

    def tie(self, hosts: "Numbers") -> "Numbers":
        """What the free GPUs are worth, then free vCPUs."""
        free: Scores = self._amounts.gpus[hosts, -1] * self._worth[hosts]
        return places(free, self._amounts.bulk[hosts, 0])

    def _dearest(self, state: HostState) -> float:
        return max((self._value(group.model) for group in state.groups()), default=0.0)

    def _value(self, model: str) -> float:
        return models.value_of(model, {}) if self._known_models else 1.0
