# SPDX-License-Identifier: Apache-2.0
"""The ranker ``fragmentation``: the policy of this name, accelerated with arrays."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nova_gpu_passthrough.catalog import models
from nova_gpu_passthrough.packing.host_state import HostState
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.policies.fragmentation import Fragmentation
from nova_gpu_passthrough.simulator.array_counts import CountsByTotals, HostTotals
from nova_gpu_passthrough.simulator.ranker import SimulatedHost
from nova_gpu_passthrough.simulator.rankers.policy import policy_settings
from nova_gpu_passthrough.simulator.rankers.value_loss import ValueLossRanker, positions

if TYPE_CHECKING:
    from nova_gpu_passthrough.simulator.ranker import Numbers, Scores


class FragmentationRanker(ValueLossRanker):
    """Chooses the same hosts as `HostPolicyRanker` with the policy ``fragmentation``, but faster.

    The policy computes the supply of each class, the weights and the values of states. Where the
    totals or the NUMA cells of hosts suffice for that, the values of many states are computed at
    once with arrays. Nothing is learned during a replay.
    """

    def prepare(
        self, hosts: Sequence[SimulatedHost], mix: Mapping[RequestClass, float], totals: HostTotals
    ) -> Sequence[RequestClass]:
        """Configure the policy, and return its classes."""
        settings = policy_settings(hosts, mix)
        self._gpu_values = settings.gpu_values
        self.policy = Fragmentation()
        self.policy.configure(settings)
        self._names = [host.name for host in hosts]
        for host in hosts:
            self.policy.observe(host.name, host.state)
        classes = list(self.policy.classes)
        self._counts = CountsByTotals(classes, totals)
        #: The value of a GPU of each host. Classes of another model find no GPU there.
        self._values = np.array([self._value_of_gpu(host.state) for host in hosts])
        self._sizes = np.array([request_class.gpus for request_class in classes], np.float64)
        return classes

    def changed(self, index: int, state: HostState) -> None:
        """Record the state of a host, also with the policy."""
        super().changed(index, state)
        self.policy.observe(self._names[index], state)

    def row(self, state: HostState) -> Sequence[float]:
        """Return the values of the usable GPUs by class."""
        return self.policy.values(state)

    def rows_by_totals(self, hosts: "Numbers", bulk: "Numbers", gpus: "Numbers") -> "Scores":
        """Return the values of the usable GPUs by class for many hosts."""
        rows: Scores = self._counts.usable(bulk, gpus) * self._values[hosts, None]
        return rows

    def rows_by_counts(self, states: Sequence[HostState], servers: "Scores") -> "Scores":
        """Return the values of the usable GPUs by class for many states."""
        values = np.array([self._value_of_gpu(state) for state in states])
        rows: Scores = servers * self._sizes * values[:, None]
        return rows

    def weights(self) -> "Scores":
        """Return the weights of the policy."""
        return np.array(self.policy.weights())

    def tie_breakers(self, hosts: "Numbers") -> "Numbers":
        """Return positions by the value of the free GPUs, then by free vCPUs."""
        free: Scores = self._totals.gpus[hosts, -1] * self._values[hosts]
        return positions(free, self._totals.bulk[hosts, 0])

    def _value_of_gpu(self, state: HostState) -> float:
        values = (models.value_of(group.model, self._gpu_values) for group in state.gpu_groups())
        return max(values, default=0.0)
