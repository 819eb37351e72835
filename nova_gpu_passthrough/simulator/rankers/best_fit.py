# SPDX-License-Identifier: Apache-2.0
"""The ranker ``best-fit``: the host that has the least left."""

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nova_gpu_passthrough.packing.host_state import HostState
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.simulator.ranker import FittingHosts, ScoringRanker, SimulatedHost

if TYPE_CHECKING:
    from nova_gpu_passthrough.simulator.ranker import Scores


class BestFitRanker(ScoringRanker):
    """Chooses the host with the least left: the sum of vCPUs, RAM and GPUs, equally weighted.

    Each is a fraction of the amount of the largest host. This is the best fit that the FGD paper
    compares with (Weng et al., USENIX ATC 2023, section 6.1: "assigns tasks to the node with the
    least remaining resources, computed as a weighted sum over all resource dimensions").
    """

    def begin(
        self, hosts: Sequence[SimulatedHost], mix: Mapping[RequestClass, float], rng: random.Random
    ) -> None:
        """Find the largest amounts."""
        self._most = [
            max((getattr(host, amount) for host in hosts), default=0) or 1
            for amount in ("vcpus", "ram_mib", "gpus")
        ]

    def changed(self, index: int, state: HostState) -> None:
        """Do nothing: `FittingHosts` has all that is needed."""

    def scores(self, request_class: RequestClass, fitting: FittingHosts) -> "Scores":
        """Return the negative sum of what is left."""
        vcpus, ram, gpus = self._most
        # Before the placement: what the server takes is the same on all hosts.
        left: Scores = fitting.vcpus / vcpus + fitting.ram_mib / ram + fitting.gpus / gpus
        return -left
