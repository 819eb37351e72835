# SPDX-License-Identifier: Apache-2.0
"""The weigher that ranks hosts by the effect of a placement on their GPUs."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from nova.scheduler import utils, weights
from nova.weights import WeighedObject
from oslo_config import cfg

from nova_gpu_passthrough import conf as gpu_conf
from nova_gpu_passthrough.catalog import models
from nova_gpu_passthrough.policies.base import HostPolicy, weight
from nova_gpu_passthrough.scheduler import pools, requests
from nova_gpu_passthrough.scheduler.assessment import assess
from nova_gpu_passthrough.scheduler.candidates import AllocationCandidate, HostChoice
from nova_gpu_passthrough.scheduler.ranking import HostRanking
from nova_gpu_passthrough.scheduler.refusal_log import HostWarnings
from nova_gpu_passthrough.topology.fit import FitRefusal
from nova_gpu_passthrough.topology.model import MAX_GPUS

if TYPE_CHECKING:
    from nova import objects
    from nova.scheduler.host_manager import HostState

CONF = cfg.CONF

_MULTIPLIER = gpu_conf.AGGREGATE_PREFIX + "weight_multiplier"
#: Total value of free GPUs from which a host is avoided most.
_MAX_AVOIDED_VALUE = MAX_GPUS * 40.0


class GpuPassthroughWeigher(weights.BaseHostWeigher):
    """Weigh hosts by quality of fit and policy for GPU requests, and by free GPUs for others.

    For a GPU request: 0.8 x quality of the best choice (NUMA nodes, links, switches) + 0.2 x score
    of the policy, which counts only the GPUs that match. For other requests: 1 for a host without
    free GPUs, less than 0.5 for one with free GPUs, the lower the more valuable these are.

    A `HostPolicy` ranks hosts for both: then other requests get 1 on the best host and less on the
    others, and only NUMA nodes count for the quality. Linked GPUs are scarce, and only the policy
    knows what it costs other servers to give them to one that does not need links.
    """

    minval = 0.0
    maxval = 1.0

    def __init__(self) -> None:
        super().__init__()
        self._policy = gpu_conf.load_or_exit(CONF)
        section = CONF[gpu_conf.GROUP.name]
        self._aliases = frozenset(section.aliases)
        self._resource_classes = frozenset(section.resource_classes)
        self._multiplier: float = section.weight_multiplier
        self._avoidance: float = section.avoid_gpu_hosts
        self._values = section.gpu_values
        self._warnings = HostWarnings()
        self._ranking: HostRanking | None = None
        if isinstance(self._policy, HostPolicy):
            self._ranking = HostRanking(
                self._policy, gpu_conf.policy_settings(section), self._warnings
            )

    def weight_multiplier(self, host_state: "HostState") -> float:
        """Return the multiplier of the host's aggregate, or else of the option."""
        try:
            multiplier: float = utils.get_weight_multiplier(
                host_state, _MULTIPLIER, self._multiplier
            )
        except (TypeError, AttributeError):  # malformed metadata or aggregates
            return self._multiplier
        return multiplier if math.isfinite(multiplier) else self._multiplier

    def weigh_objects(
        self, weighed_obj_list: Iterable[WeighedObject], weight_properties: "objects.RequestSpec"
    ) -> list[float]:
        """Return the weights of the hosts: 0..1 each, higher is better."""
        request = self._read(weight_properties)
        hosts = [item.obj for item in weighed_obj_list]
        if self._ranking is not None:
            weighed = self._weigh_by_ranking(self._ranking, hosts, weight_properties, request)
        else:
            weighed = [self._weigh(host_state, request) for host_state in hosts]
        try:
            return _put_soft_group_first(weighed, hosts, weight_properties)
        except Exception as error:  # never raise into the scheduler
            if hosts:
                self._warn(hosts[0], error)
            return weighed

    def _weigh_object(
        self, host_state: "HostState", weight_properties: "objects.RequestSpec"
    ) -> float:
        return self.weigh_objects([WeighedObject(host_state, 0.0)], weight_properties)[0]

    def _read(self, spec_obj: "objects.RequestSpec") -> requests.ServerRequest | None:
        try:
            return requests.read(spec_obj, self._aliases, self._resource_classes)
        except Exception:  # never raise into the scheduler; the filter logs it
            return None

    def _weigh(self, host_state: "HostState", request: requests.ServerRequest | None) -> float:
        try:
            host_choice = self._host_choice(host_state, request) if request else None
            if isinstance(host_choice, FitRefusal):
                return 0.0
            if host_choice is not None:
                score = self._policy.score(
                    host_choice.host, host_choice.request, host_choice.choice
                )
                return weight(host_choice.choice.quality, score)
            return 1.0 - self._avoidance * self._value_of_free_gpus(host_state)
        except Exception as error:  # never raise into the scheduler
            self._warn(host_state, error)
            return 0.0

    def _weigh_by_ranking(
        self,
        ranking: HostRanking,
        hosts: "Sequence[HostState]",
        spec_obj: "objects.RequestSpec",
        request: requests.ServerRequest | None,
    ) -> list[float]:
        weighed = [0.0] * len(hosts)
        fitting: list[tuple[HostState, HostChoice | None]] = []
        indices: list[int] = []
        for index, host_state in enumerate(hosts):
            try:
                host_choice = self._host_choice(host_state, request) if request else None
            except Exception as error:  # never raise into the scheduler
                self._warn(host_state, error)
                continue
            if not isinstance(host_choice, FitRefusal):
                fitting.append((host_state, host_choice))
                indices.append(index)
        try:
            ranks = ranking.rank(spec_obj, fitting)
        except Exception as error:  # never raise into the scheduler
            if hosts:
                self._warn(hosts[0], error)
            ranks = [0.0] * len(fitting)
        for index, (_, host_choice), rank in zip(indices, fitting, ranks, strict=True):
            rank = min(1.0, max(0.0, rank))
            if host_choice is None:
                weighed[index] = 1.0 - self._avoidance * (1.0 - rank)
            else:
                weighed[index] = weight(host_choice.choice.numa_quality, rank)
        return weighed

    def _warn(self, host_state: "HostState", error: Exception) -> None:
        self._warnings.warn(
            host_state.host, f"{type(error).__name__}: {error}", "it gets the lowest GPU weight"
        )

    def _host_choice(
        self, host_state: "HostState", request: requests.ServerRequest
    ) -> HostChoice | FitRefusal | None:
        """Return the filter's choice or, without PCI in Placement, the one Nova probably makes."""
        if host_state.allocation_candidates:
            first = host_state.allocation_candidates[0]
            if isinstance(first, AllocationCandidate):
                return first.host_choice
        assessment = assess(host_state, request)
        if not assessment.choices:
            return assessment.refusal
        return HostChoice(assessment.host, assessment.request, assessment.choices[0])

    def _value_of_free_gpus(self, host_state: "HostState") -> float:
        """Return 0 for a host without free GPUs, else 0.5..1 by the value of these."""
        values = [
            count * models.value_of(model, self._values)
            for model, count in pools.known_gpus(host_state.pci_stats)
        ]
        return 0.5 + 0.5 * min(1.0, sum(values) / _MAX_AVOIDED_VALUE) if values else 0.0


def _put_soft_group_first(
    weighed: list[float], hosts: "Sequence[HostState]", spec_obj: "objects.RequestSpec"
) -> list[float]:
    """Let the soft policy of a server group decide before the GPUs do.

    The multiplier of this weigher would overrule Nova's weighers of soft affinity and soft
    anti-affinity (nova/scheduler/weights/affinity.py). So hosts with as many members of the group
    share a range of weights, 0..1 over all of them.
    """
    group = spec_obj.instance_group if "instance_group" in spec_obj else None
    if group is None:
        return weighed
    section = CONF.filter_scheduler
    multipliers = {
        "soft-affinity": section.soft_affinity_weight_multiplier,
        "soft-anti-affinity": section.soft_anti_affinity_weight_multiplier,
    }
    if multipliers.get(group.policy, 0) <= 0:
        return weighed
    members = set(group.members)
    counts = [len(members.intersection(host_state.instances)) for host_state in hosts]
    most = max(counts, default=0)
    levels = counts if group.policy == "soft-affinity" else [most - count for count in counts]
    return [
        (level + weight_of_gpus) / (most + 1)
        for level, weight_of_gpus in zip(levels, weighed, strict=True)
    ]
