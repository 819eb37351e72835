# SPDX-License-Identifier: Apache-2.0
"""Rankers that look at a host's free amounts only."""

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nova_gpu_passthrough.packing.host_state import HostState
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.simulator.ranker import Offers, Ranker, ScoringRanker, SimHost

if TYPE_CHECKING:
    from nova_gpu_passthrough.simulator.ranker import Scores


class _Stateless(ScoringRanker):
    def begin(
        self, hosts: Sequence[SimHost], mix: Mapping[RequestClass, float], rng: random.Random
    ) -> None:
        """There is nothing to prepare."""

    def changed(self, index: int, state: HostState) -> None:
        """There is nothing to remember."""


class Pack(_Stateless):
    """The host with the fewest free GPUs, as the policy ``pack``.

    Servers without GPUs are placed by the same rule. That is what the weigher does with them, too,
    except that it counts what the free GPUs are worth.
    """

    name = "pack"

    def scores(self, wanted: RequestClass, offers: Offers) -> "Scores":
        """The fewer free GPUs, the better."""
        return -offers.gpus.astype(np.float64)


class Spread(_Stateless):
    """The host with the most free GPUs, as the policy ``spread``.

    Servers without GPUs go where the fewest GPUs are free: the weigher keeps them away from GPUs,
    whatever the policy is.
    """

    name = "spread"

    def scores(self, wanted: RequestClass, offers: Offers) -> "Scores":
        """The more free GPUs, the better; for servers without GPUs the fewer."""
        free: Scores = offers.gpus.astype(np.float64)
        return free if wanted.gpus else -free


class BestFit(_Stateless):
    """The host that has the least left: the sum of vCPUs, RAM and GPUs, all of equal weight.

    Each is counted in parts of what the largest host has. So does the best fit that the FGD paper
    compares itself with (Weng et al., USENIX ATC 2023, section 6.1: "assigns tasks to the node with
    the least remaining resources, computed as a weighted sum over all resource dimensions").
    """

    name = "best-fit"

    def begin(
        self, hosts: Sequence[SimHost], mix: Mapping[RequestClass, float], rng: random.Random
    ) -> None:
        """Find the largest amounts."""
        self._most = [
            max((getattr(host, amount) for host in hosts), default=0) or 1
            for amount in ("vcpus", "ram_mib", "gpus")
        ]

    def scores(self, wanted: RequestClass, offers: Offers) -> "Scores":
        """What is left once the server is there, negative."""
        vcpus, ram, gpus = self._most
        # What the server takes is the same everywhere.
        left: Scores = offers.vcpus / vcpus + offers.ram_mib / ram + offers.gpus / gpus
        return -left


class Random(Ranker):
    """Any host where the server fits."""

    name = "random"

    def begin(
        self, hosts: Sequence[SimHost], mix: Mapping[RequestClass, float], rng: random.Random
    ) -> None:
        """Keep the source of chance."""
        self._rng = rng

    def changed(self, index: int, state: HostState) -> None:
        """There is nothing to remember."""

    def choose(self, wanted: RequestClass, offers: Offers) -> tuple[int, HostState]:
        """Throw the dice for the host, and for the NUMA cell."""
        host = int(offers.hosts[self._rng.randrange(len(offers.hosts))])
        return host, self._rng.choice(offers.after(host))
