# SPDX-License-Identifier: Apache-2.0
"""What a ranking policy is, and how one is found by its name."""

import abc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from stevedore import ExtensionManager

from nova_gpu_passthrough.packing.host_state import HostState
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.topology.fit import DeviceChoice
from nova_gpu_passthrough.topology.model import GpuRequest, HostGpus

#: Packages add policies of their own under this entry point namespace.
NAMESPACE = "nova_gpu_passthrough.policies"


class UnknownPolicyError(LookupError):
    """No installed package has a policy of that name."""


class Policy(abc.ABC):
    """Ranks the hosts that fit a request."""

    @abc.abstractmethod
    def score(self, host: HostGpus, request: GpuRequest, choice: DeviceChoice) -> float:
        """How good it is to place ``request`` on ``host`` with ``choice``.

        :returns: 0..1 on a fixed scale, the higher the better: the score of a host must not
            depend on the other hosts
        """


class Settings(NamedTuple):
    """What the operator tells a policy that looks at whole hosts."""

    #: A file with the mix of requests; None: there is none.
    mix_file: Path | None = None
    #: After how many further requests one counts half; 0: nothing is learned from requests.
    mix_half_life: float = 0.0
    #: What GPU models are worth, where the catalogue's word does not suit.
    gpu_values: Mapping[str, float] = {}


class Offer(NamedTuple):
    """A host as it is and as it would be with the server on it, both in canonical form."""

    before: HostState
    after: HostState
    #: 0..1: on how few NUMA nodes the server's own GPUs are (`DeviceChoice.numa_quality`); 1
    #: without GPUs.
    quality: float = 1.0


class HostPolicy(Policy):
    """Ranks hosts by all that they have left, for servers with and without GPUs.

    ``score`` is asked only where a host cannot be seen as a whole.
    """

    @abc.abstractmethod
    def configure(self, settings: Settings) -> None:
        """Begin to rank by these settings.

        :raises UserError: if they make no sense
        """

    @abc.abstractmethod
    def observe(self, host: str, state: HostState) -> None:
        """Note what a host has left now, in canonical form."""

    @abc.abstractmethod
    def forget(self, host: str) -> None:
        """Count a host no longer."""

    @abc.abstractmethod
    def learn(self, wanted: RequestClass) -> None:
        """Note that a server of this class was asked for."""

    @abc.abstractmethod
    def price(self, before: HostState, after: HostState) -> float:
        """How much a placement harms, both states being in canonical form; the less, the better.

        Where a server fits equally well on several sets of NUMA nodes of a host, it decides.
        """

    @abc.abstractmethod
    def rank(self, offers: Sequence[Offer]) -> list[float]:
        """How good each offer is beside the others.

        :returns: 0..1 each, the higher the better. It is added to the quality, which weighs four
            times as much; better quality must not get the lower rank.
        """


def free_after(host: HostGpus, request: GpuRequest) -> int:
    """How many GPUs that match the request stay free on the host once it is placed."""
    free = {gpu for demand in request.gpus for gpu in host.gpus[demand.id]}
    return len(free) - request.count


def load(name: str) -> Policy:
    """Make the policy that is installed as ``name``.

    :raises UnknownPolicyError: if there is none; the message names those that there are
    """
    manager: ExtensionManager[Policy] = ExtensionManager(NAMESPACE, invoke_on_load=False)
    if name not in manager:
        raise UnknownPolicyError(
            f"policy {name!r} is not installed, expected one of: "
            f"{', '.join(sorted(manager.names())) or 'none is installed'}"
        )
    policy: Policy = manager[name].plugin()
    return policy
