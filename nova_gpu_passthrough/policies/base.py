# SPDX-License-Identifier: Apache-2.0
"""Interfaces of ranking policies, the loader, and how a policy counts in a host's weight.

A policy is one class for nova-scheduler and the simulator. A new one needs a module in this folder,
a line in ``setup.cfg`` under the entry point namespace ``nova_gpu_passthrough.policies``, and a
test. It implements one of

* `FreeGpuPolicy`: only the number of GPUs left free on a host counts;
* `HostPolicy`: everything that a host has left counts, also for servers without GPUs;
* `Policy`: anything else, computed from the GPUs of a host and the chosen devices.

The option ``[gpu_passthrough] policy`` and ``nova-gpu simulate --ranker`` take its name. The
simulator drives policies by ``simulator/rankers/policy.py``.
"""

import abc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from stevedore import ExtensionManager

from nova_gpu_passthrough.packing.host_state import HostState
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.topology.fit import DeviceChoice
from nova_gpu_passthrough.topology.model import GpuRequest, HostGpus

#: Other packages add their policies under this entry point namespace, too.
NAMESPACE = "nova_gpu_passthrough.policies"
#: Shares of quality and policy in the weight. Two NUMA nodes instead of one cost at least a quarter
#: of the quality, which is as much as the policy can give: no policy splits a server over NUMA
#: nodes.
QUALITY_SHARE = 0.8
POLICY_SHARE = 0.2


class UnknownPolicyError(LookupError):
    """No installed package has a policy with the given name."""


class Policy(abc.ABC):
    """Scores the hosts that a GPU request fits on."""

    @abc.abstractmethod
    def score(self, host: HostGpus, request: GpuRequest, choice: DeviceChoice) -> float:
        """Score a placement of ``request`` on ``host`` with the devices of ``choice``.

        :returns: 0..1 on a fixed scale, higher is better: the score of a host must not depend on
            other hosts
        """


class FreeGpuPolicy(Policy):
    """Scores hosts by the number of GPUs that stay free, and by nothing else."""

    @abc.abstractmethod
    def score_free_gpus(self, free: int) -> float:
        """Score a host on which so many GPUs stay free after the placement.

        A pure function: nova-scheduler counts the GPUs that match the request, the simulator all
        GPUs of the host.

        :returns: 0..1, higher is better
        """

    def score(self, host: HostGpus, request: GpuRequest, choice: DeviceChoice) -> float:
        """Score the number of matching GPUs that stay free."""
        return self.score_free_gpus(free_after(host, request))


class PolicySettings(NamedTuple):
    """Configuration of a `HostPolicy`."""

    #: A file with the mix of requests; None: there is none.
    mix_file: Path | None = None
    #: Number of further requests after which a request counts half; 0: requests are not learned.
    mix_half_life: float = 0.0
    #: Values of GPU models that replace those of the catalogue.
    gpu_values: Mapping[str, float] = {}
    #: The mix itself, by class the number of servers; it replaces that of the file.
    mix: Mapping[RequestClass, float] = {}


class PlacementOption(NamedTuple):
    """A host before and after a placement, both states in canonical form."""

    before: HostState
    after: HostState
    #: `DeviceChoice.numa_quality`, 0..1: higher for GPUs on fewer NUMA nodes; 1 without GPUs.
    quality: float = 1.0


class HostPolicy(Policy):
    """Ranks hosts by everything that they have left, for servers with and without GPUs.

    ``score`` is only called for a host whose state is not known as a whole.
    """

    @abc.abstractmethod
    def configure(self, settings: PolicySettings) -> None:
        """Apply the settings; called before all other methods, and again if the mix file changes.

        :raises UserError: if the settings are invalid
        """

    @abc.abstractmethod
    def observe(self, host: str, state: HostState) -> None:
        """Record the current state of a host, in canonical form."""

    @abc.abstractmethod
    def forget(self, host: str) -> None:
        """Remove a host from the observed ones."""

    @abc.abstractmethod
    def learn(self, request_class: RequestClass) -> None:
        """Record that a server of this class was requested."""

    @abc.abstractmethod
    def price(self, before: HostState, after: HostState) -> float:
        """Return how much harm a placement does, both states in canonical form; lower is better.

        Decides between NUMA nodes of one host that suit the server equally well.
        """

    @abc.abstractmethod
    def rank(self, options: Sequence[PlacementOption]) -> list[float]:
        """Rank placements of one server on several hosts against each other.

        :returns: 0..1 for each option, higher is better. It is added to the quality, which weighs
            four times as much; an option with better quality must not get a lower rank.
        """


def weight(quality: float, score: float) -> float:
    """Return the weight of a host for a GPU request, 0..1, higher is better.

    :param quality: `DeviceChoice.quality` of the best choice, or its ``numa_quality``
    :param score: the score or rank by the policy, cut to 0..1
    """
    return QUALITY_SHARE * quality + POLICY_SHARE * min(1.0, max(0.0, score))


def free_after(host: HostGpus, request: GpuRequest) -> int:
    """Count the GPUs matching the request that stay free on the host after the placement."""
    free = {gpu for demand in request.gpus for gpu in host.gpus[demand.id]}
    return len(free) - request.count


def load(name: str) -> Policy:
    """Create the policy that is installed as ``name``.

    :raises UnknownPolicyError: if there is none; the message lists the installed ones
    """
    manager: ExtensionManager[Policy] = ExtensionManager(NAMESPACE, invoke_on_load=False)
    if name not in manager:
        raise UnknownPolicyError(
            f"policy {name!r} is not installed, expected one of: "
            f"{', '.join(sorted(manager.names())) or 'none is installed'}"
        )
    policy: Policy = manager[name].plugin()
    return policy
