# SPDX-License-Identifier: Apache-2.0
"""Fragmentation gradient descent as published, for whole GPUs.

Weng et al., "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient
Descent", USENIX ATC 2023, section 4. A host's fragmentation for a class of tasks is the number of
its free GPUs if the class does not fit there, or needs no GPU at all; else only what is left of
shared GPUs counts, of which there is none here. Expected fragmentation is the mean over all classes
by their popularity; the host where it grows least wins. The paper leaves ties open: here the host
with the fewest free GPUs wins them.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nova_gpu_passthrough.packing.count_servers import usable_by_class
from nova_gpu_passthrough.packing.host_state import HostState
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.simulator.amounts import Amounts, Needs
from nova_gpu_passthrough.simulator.ranker import SimHost
from nova_gpu_passthrough.simulator.rankers.priced import PricedRanker

if TYPE_CHECKING:
    from nova_gpu_passthrough.simulator.ranker import Numbers, Scores


class Fgd(PricedRanker):
    """The host where expected fragmentation grows least."""

    name = "fgd"

    def prepare(
        self, hosts: Sequence[SimHost], mix: Mapping[RequestClass, float], amounts: Amounts
    ) -> Sequence[RequestClass]:
        """Learn how popular each class is."""
        total = sum(mix.values()) or 1.0
        # Classes without GPUs count all free GPUs as fragmented, on every host.
        self._classes = [wanted for wanted in mix if wanted.gpus]
        self._popular = np.array([mix[wanted] / total for wanted in self._classes])
        self._needs = Needs(self._classes, amounts)
        return self._classes

    def row(self, state: HostState) -> Sequence[float]:
        """Free GPUs that are not fragmented, in expectation."""
        free = state.free_gpus
        if not free:
            return [0.0]
        fits = np.array(usable_by_class(state, self._classes)) > 0
        return [free * float((fits * self._popular).sum())]

    def rows(self, hosts: "Numbers", bulk: "Numbers", gpus: "Numbers") -> "Scores":
        """The same by arrays."""
        fits = self._needs.servers(bulk, gpus) > 0
        whole: Scores = gpus[:, -1:] * (fits * self._popular).sum(axis=1, keepdims=True)
        return whole

    def rows_of(self, states: Sequence[HostState], servers: "Scores") -> "Scores":
        """The same by arrays, where cells count."""
        free = np.array([[state.free_gpus] for state in states], np.float64)
        whole: Scores = free * ((servers > 0) * self._popular).sum(axis=1, keepdims=True)
        return whole

    def weights(self) -> "Scores":
        """There is one column."""
        return np.ones(1)
