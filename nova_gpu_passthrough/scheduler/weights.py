# SPDX-License-Identifier: Apache-2.0
"""The weigher that ranks hosts by what a placement does to their GPUs."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from nova.scheduler import utils, weights
from nova.weights import WeighedObject
from oslo_config import cfg

from nova_gpu_passthrough import conf as gpu_conf
from nova_gpu_passthrough.catalog import models
from nova_gpu_passthrough.policies.base import HostPolicy
from nova_gpu_passthrough.policies.weight import weight
from nova_gpu_passthrough.scheduler import pools, requests
from nova_gpu_passthrough.scheduler.assessment import assess
from nova_gpu_passthrough.scheduler.candidates import Candidate, Fitted
from nova_gpu_passthrough.scheduler.ranking import HostRanking
from nova_gpu_passthrough.scheduler.refusal_log import Warnings
from nova_gpu_passthrough.scheduler.startup import configure
from nova_gpu_passthrough.topology.fit import Refusal
from nova_gpu_passthrough.topology.model import MAX_GPUS

if TYPE_CHECKING:
    from nova import objects
    from nova.scheduler.host_manager import HostState

CONF = cfg.CONF

_MULTIPLIER = gpu_conf.AGGREGATE_PREFIX + "weight_multiplier"
#: A host whose free GPUs are worth this much is avoided the most.
_MOST_VALUE = MAX_GPUS * 40.0


class GpuPassthroughWeigher(weights.BaseHostWeigher):
    """Weighs hosts for GPU requests by quality of fit and policy, and others away from GPUs.

    For a GPU request: 0.8 x quality of the best choice (NUMA nodes, links, switches) + 0.2 x score
    of the policy, which counts only the GPUs that match. For other requests: 1 for a host without
    free GPUs, less than a half for one with free GPUs, the less the more they are worth.

    A policy that looks at whole hosts ranks them for both: then other requests get 1 for the best
    host, less for others. Of the quality only NUMA nodes count then: linked GPUs are few, and what
    it costs the others to give them to a server that would do without, only the policy knows.
    """

    minval = 0.0
    maxval = 1.0

    def __init__(self) -> None:
        super().__init__()
        self._policy = configure(CONF)
        section = CONF[gpu_conf.GROUP.name]
        self._aliases = frozenset(section.aliases)
        self._resource_classes = frozenset(section.resource_classes)
        self._multiplier: float = section.weight_multiplier
        self._avoidance: float = section.avoid_gpu_hosts
        self._values = section.gpu_values
        self._warnings = Warnings()
        self._ranking: HostRanking | None = None
        if isinstance(self._policy, HostPolicy):
            self._ranking = HostRanking(self._policy, gpu_conf.settings(section), self._warnings)

    def weight_multiplier(self, host_state: "HostState") -> float:
        """The option's value or that of the host's aggregate."""
        try:
            multiplier: float = utils.get_weight_multiplier(
                host_state, _MULTIPLIER, self._multiplier
            )
        except (TypeError, AttributeError):  # metadata that is no text, aggregates that are none
            return self._multiplier
        return multiplier if math.isfinite(multiplier) else self._multiplier

    def weigh_objects(
        self, weighed_obj_list: Iterable[WeighedObject], weight_properties: "objects.RequestSpec"
    ) -> list[float]:
        """Weigh the hosts; 0..1 each, the higher the better."""
        request = self._read(weight_properties)
        hosts = [item.obj for item in weighed_obj_list]
        if self._ranking is not None:
            return self._weigh_whole(self._ranking, hosts, weight_properties, request)
        return [self._weigh(host_state, request) for host_state in hosts]

    def _weigh_object(
        self, host_state: "HostState", weight_properties: "objects.RequestSpec"
    ) -> float:
        return self.weigh_objects([WeighedObject(host_state, 0.0)], weight_properties)[0]

    def _read(self, spec_obj: "objects.RequestSpec") -> requests.ServerRequest | None:
        try:
            return requests.read(spec_obj, self._aliases, self._resource_classes)
        except Exception:  # never raise into the scheduler; the filter has told
            return None

    def _weigh(self, host_state: "HostState", request: requests.ServerRequest | None) -> float:
        try:
            fitted = self._fitted(host_state, request) if request else None
            if isinstance(fitted, Refusal):
                return 0.0
            if fitted is not None:
                score = self._policy.score(fitted.host, fitted.request, fitted.choice)
                return weight(fitted.choice.quality, score)
            return 1.0 - self._avoidance * self._exposure(host_state)
        except Exception as error:  # never raise into the scheduler
            self._warn(host_state, error)
            return 0.0

    def _weigh_whole(
        self,
        ranking: HostRanking,
        hosts: "Sequence[HostState]",
        spec_obj: "objects.RequestSpec",
        request: requests.ServerRequest | None,
    ) -> list[float]:
        weighed = [0.0] * len(hosts)
        fitting: list[tuple[HostState, Fitted | None]] = []
        indices: list[int] = []
        for index, host_state in enumerate(hosts):
            try:
                fitted = self._fitted(host_state, request) if request else None
            except Exception as error:  # never raise into the scheduler
                self._warn(host_state, error)
                continue
            if not isinstance(fitted, Refusal):
                fitting.append((host_state, fitted))
                indices.append(index)
        try:
            ranks = ranking.rank(spec_obj, fitting)
        except Exception as error:  # never raise into the scheduler
            if hosts:
                self._warn(hosts[0], error)
            ranks = [0.0] * len(fitting)
        for index, (_, fitted), rank in zip(indices, fitting, ranks, strict=True):
            rank = min(1.0, max(0.0, rank))
            if fitted is None:
                weighed[index] = 1.0 - self._avoidance * (1.0 - rank)
            else:
                weighed[index] = weight(fitted.choice.numa_quality, rank)
        return weighed

    def _warn(self, host_state: "HostState", error: Exception) -> None:
        self._warnings.warn(
            host_state.host, f"{type(error).__name__}: {error}", "it gets the lowest GPU weight"
        )

    def _fitted(
        self, host_state: "HostState", request: requests.ServerRequest
    ) -> Fitted | Refusal | None:
        """The choice that the filter made, or that Nova will probably make without Placement."""
        if host_state.allocation_candidates:
            first = host_state.allocation_candidates[0]
            if isinstance(first, Candidate):
                return first.fitted
        result = assess(host_state, request)
        if not result.choices:
            return result.refusal
        return Fitted(result.host, result.request, result.choices[0])

    def _exposure(self, host_state: "HostState") -> float:
        """0 for a host without free GPUs, else 0.5..1 by what they are worth."""
        values = [
            count * models.value_of(model, self._values)
            for model, count in pools.known_gpus(host_state.pci_stats)
        ]
        return 0.5 + 0.5 * min(1.0, sum(values) / _MOST_VALUE) if values else 0.0
