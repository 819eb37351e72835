# SPDX-License-Identifier: Apache-2.0
"""The ranker ``fgd``: fragmentation gradient descent as published, for whole GPUs.

Weng et al., "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient
Descent", USENIX ATC 2023, section 4. The fragmentation of a host for a class of tasks is the number
of its free GPUs if the class does not fit there or needs no GPU; otherwise only remainders of
shared GPUs count, which do not exist here. Expected fragmentation is the mean over all classes,
weighted by their popularity; the host where it grows least is chosen. The paper leaves ties open:
here the host with the fewest free GPUs is chosen.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nova_gpu_passthrough.packing.count_servers import usable_gpus_by_class
from nova_gpu_passthrough.packing.host_state import HostState
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.simulator.array_counts import CountsByTotals, HostTotals
from nova_gpu_passthrough.simulator.ranker import SimulatedHost
from nova_gpu_passthrough.simulator.rankers.value_loss import ValueLossRanker

if TYPE_CHECKING:
    from nova_gpu_passthrough.simulator.ranker import Numbers, Scores


class FgdRanker(ValueLossRanker):
    """Chooses the host on which the expected fragmentation grows least."""

    def prepare(
        self, hosts: Sequence[SimulatedHost], mix: Mapping[RequestClass, float], totals: HostTotals
    ) -> Sequence[RequestClass]:
        """Compute the popularity of each class."""
        total = sum(mix.values()) or 1.0
        # Classes without GPUs count all free GPUs as fragmented, on every host.
        self._classes = [request_class for request_class in mix if request_class.gpus]
        self._popularity = np.array([mix[request_class] / total for request_class in self._classes])
        self._counts = CountsByTotals(self._classes, totals)
        return self._classes

    def row(self, state: HostState) -> Sequence[float]:
        """Return the expected number of free GPUs that are not fragmented."""
        free = state.free_gpus
        if not free:
            return [0.0]
        fits = np.array(usable_gpus_by_class(state, self._classes)) > 0
        return [free * float((fits * self._popularity).sum())]

    def rows_by_totals(self, hosts: "Numbers", bulk: "Numbers", gpus: "Numbers") -> "Scores":
        """Return the expected numbers for many hosts."""
        fits = self._counts.servers(bulk, gpus) > 0
        rows: Scores = gpus[:, -1:] * (fits * self._popularity).sum(axis=1, keepdims=True)
        return rows

    def rows_by_counts(self, states: Sequence[HostState], servers: "Scores") -> "Scores":
        """Return the expected numbers for many states."""
        free = np.array([[state.free_gpus] for state in states], np.float64)
        fits = servers > 0
        rows: Scores = free * (fits * self._popularity).sum(axis=1, keepdims=True)
        return rows

    def weights(self) -> "Scores":
        """Return 1 for the only column."""
        return np.ones(1)
