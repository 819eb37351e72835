# SPDX-License-Identifier: Apache-2.0
"""What a ranker of the simulator is, and how one is found by its name.

A ranker chooses the host of each server that the simulator starts. It sees hosts by their index in
the list that it is given at the beginning, which never changes. Packages add rankers of their own
under the entry point namespace ``nova_gpu_passthrough.rankers``; a ranker is made anew, without
arguments, for every run. One that needs a package which is not installed raises `UserError` when it
is made.
"""

import abc
import random
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any, NamedTuple

from stevedore import NamedExtensionManager

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.packing.host_state import HostState
from nova_gpu_passthrough.packing.request_class import RequestClass

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Numbers = NDArray[numpy.int64]
    Scores = NDArray[numpy.float64]

NAMESPACE = "nova_gpu_passthrough.rankers"


class SimHost(NamedTuple):
    """A host of the simulated fleet."""

    name: str
    #: What it has while it is empty, in canonical form.
    state: HostState
    #: Model of its GPUs; None: it has none. With several, the one that it has most of.
    model: str | None
    #: What it has while it is empty: vCPUs in parts (below), RAM in MiB, GPUs.
    vcpus: int
    ram_mib: int
    gpus: int
    #: Into how many parts a vCPU is divided in all states and request classes (openb: 1000).
    vcpu_parts: int = 1


class Offers(abc.ABC):
    """The hosts that a server of a class fits on, as they are now.

    All arrays are of equal length, one entry for each such host, and must not be changed. They are
    valid until the ranker's ``choose`` returns.
    """

    @property
    @abc.abstractmethod
    def hosts(self) -> "Numbers":
        """Indices of the hosts, ascending; never empty."""

    @property
    @abc.abstractmethod
    def vcpus(self) -> "Numbers":
        """Free vCPUs of these hosts, in parts."""

    @property
    @abc.abstractmethod
    def ram_mib(self) -> "Numbers":
        """Free RAM of these hosts."""

    @property
    @abc.abstractmethod
    def gpus(self) -> "Numbers":
        """Free GPUs of these hosts, of any model."""

    @abc.abstractmethod
    def before(self, host: int) -> HostState:
        """The state of a host (by its index) now, in canonical form."""

    @abc.abstractmethod
    def after(self, host: int) -> Sequence[HostState]:
        """What can be left of a host (by its index) in ``hosts``, in canonical form.

        Usually one state; several where the server may go to one or the other NUMA cell. It is
        worked out when it is asked for: ask for few hosts, if you can.
        """


class Ranker(abc.ABC):
    """Chooses hosts, one server after the other."""

    #: As which it is registered.
    name: str

    @abc.abstractmethod
    def begin(
        self, hosts: Sequence[SimHost], mix: Mapping[RequestClass, float], rng: random.Random
    ) -> None:
        """Learn of all hosts, which are empty, before the first server.

        :param mix: how often servers of each class are asked for, also of those without GPUs
        :param rng: the only source of chance that a ranker may use
        """

    @abc.abstractmethod
    def changed(self, index: int, state: HostState) -> None:
        """Note what a host has left, after a server was placed on it or has gone."""

    @abc.abstractmethod
    def choose(self, wanted: RequestClass, offers: Offers) -> tuple[int, HostState]:
        """The index of the host that a server shall get, and one of its `Offers.after`."""


class ScoringRanker(Ranker):
    """Gives hosts scores; the first of the best wins."""

    @abc.abstractmethod
    def scores(self, wanted: RequestClass, offers: Offers) -> "Scores":
        """How good each host of ``offers.hosts`` is, in this order, the higher the better."""

    def best_after(self, wanted: RequestClass, offers: Offers, host: int) -> HostState:
        """Which of the states is best that can be left of a host; the first, if all are alike."""
        return offers.after(host)[0]

    def choose(self, wanted: RequestClass, offers: Offers) -> tuple[int, HostState]:
        """The first of the best."""
        host = int(offers.hosts[self.scores(wanted, offers).argmax()])
        return host, self.best_after(wanted, offers, host)


def names() -> list[str]:
    """Names of all rankers that are installed."""
    return sorted(metadata.entry_points(group=NAMESPACE).names)


def load(name: str) -> Ranker:
    """Make the ranker that is installed as ``name``.

    :raises UserError: if there is none, or it needs something that is not installed
    """
    problems: list[BaseException] = []
    # Only this one: others may import Nova, which takes seconds.
    manager: NamedExtensionManager[Any] = NamedExtensionManager(
        NAMESPACE,
        [name],
        on_load_failure_callback=lambda _manager, _point, error: problems.append(error),
        on_missing_entrypoints_callback=lambda _names: None,
    )
    if name in manager:
        ranker: Ranker = manager[name].plugin()
        return ranker
    if problems:
        raise UserError(f"ranker {name} cannot be loaded: {problems[0]}; install what it needs")
    raise UserError(
        f"ranker {name} is not known, expected one of: {', '.join(names()) or 'none is installed'}"
    )
