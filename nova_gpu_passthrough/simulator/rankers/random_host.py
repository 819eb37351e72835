# SPDX-License-Identifier: Apache-2.0
"""The ranker ``random``: any host where the server fits."""

import random
from collections.abc import Mapping, Sequence

from nova_gpu_passthrough.packing.host_state import HostState
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.simulator.ranker import FittingHosts, Ranker, SimulatedHost


class RandomRanker(Ranker):
    """Chooses a random host, and random NUMA cells."""

    def begin(
        self, hosts: Sequence[SimulatedHost], mix: Mapping[RequestClass, float], rng: random.Random
    ) -> None:
        """Keep the source of randomness."""
        self._rng = rng

    def changed(self, index: int, state: HostState) -> None:
        """Do nothing: the states of hosts do not matter."""

    def choose(self, request_class: RequestClass, fitting: FittingHosts) -> tuple[int, HostState]:
        """Draw one of the hosts, and one of its possible states."""
        host = int(fitting.hosts[self._rng.randrange(len(fitting.hosts))])
        return host, self._rng.choice(fitting.after(host))
