# SPDX-License-Identifier: Apache-2.0
"""Interface of the simulator's rankers.

A ranker chooses the host of each server that the simulator starts. It knows hosts by their index in
the list that it gets at the beginning, which never changes. `registry` loads rankers by name.
"""

import abc
import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from nova_gpu_passthrough.packing.host_state import HostState
from nova_gpu_passthrough.packing.request_class import RequestClass

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Numbers = NDArray[numpy.int64]
    Scores = NDArray[numpy.float64]


class SimulatedHost(NamedTuple):
    """A host of the simulated fleet."""

    name: str
    #: The state of the empty host, in canonical form.
    state: HostState
    #: The model of most of its GPUs; None if it has no GPUs.
    model: str | None
    #: Amounts of the empty host.
    vcpus: int
    ram_mib: int
    gpus: int
    #: Number of units in which a vCPU is counted, in all states and request classes (openb: 1000).
    units_per_vcpu: int = 1


class FittingHosts(abc.ABC):
    """The hosts that a server of one class fits on, as they are now.

    All arrays have one entry for each such host, and must not be changed. They are valid until the
    ranker's ``choose`` returns.
    """

    @property
    @abc.abstractmethod
    def hosts(self) -> "Numbers":
        """Indices of the hosts, ascending; never empty."""

    @property
    @abc.abstractmethod
    def vcpus(self) -> "Numbers":
        """Free vCPUs of these hosts, in units."""

    @property
    @abc.abstractmethod
    def ram_mib(self) -> "Numbers":
        """Free RAM of these hosts, in MiB."""

    @property
    @abc.abstractmethod
    def gpus(self) -> "Numbers":
        """Free GPUs of these hosts, of any model."""

    @abc.abstractmethod
    def before(self, host: int) -> HostState:
        """Return the current state of a host, by its index, in canonical form."""

    @abc.abstractmethod
    def after(self, host: int) -> Sequence[HostState]:
        """Return the possible states of a host in ``hosts`` after the placement, by its index.

        Usually there is one state; several if the server fits on different NUMA cells. They are in
        canonical form and computed on demand: request them for as few hosts as possible.
        """


class Ranker(abc.ABC):
    """Chooses the hosts of servers, one after the other."""

    @abc.abstractmethod
    def begin(
        self, hosts: Sequence[SimulatedHost], mix: Mapping[RequestClass, float], rng: random.Random
    ) -> None:
        """Prepare for a replay on these hosts, which are empty.

        :param mix: how often servers of each class are requested, including those without GPUs
        :param rng: the only source of randomness that a ranker may use
        """

    @abc.abstractmethod
    def changed(self, index: int, state: HostState) -> None:
        """Record the state of a host after a server was placed on it or released."""

    @abc.abstractmethod
    def choose(self, request_class: RequestClass, fitting: FittingHosts) -> tuple[int, HostState]:
        """Return the index of the chosen host, and the chosen one of its `FittingHosts.after`."""


class ScoringRanker(Ranker):
    """Chooses the first of the hosts with the best score."""

    @abc.abstractmethod
    def scores(self, request_class: RequestClass, fitting: FittingHosts) -> "Scores":
        """Return the score of each host of ``fitting.hosts``, higher is better."""

    def choose(self, request_class: RequestClass, fitting: FittingHosts) -> tuple[int, HostState]:
        """Return the first of the best hosts, and the first of its possible states."""
        host = int(fitting.hosts[self.scores(request_class, fitting).argmax()])
        return host, fitting.after(host)[0]
