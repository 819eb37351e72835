# SPDX-License-Identifier: Apache-2.0
"""The filter that judges hosts by their free GPUs and chooses the devices of a server.

It runs before PciPassthroughFilter and NUMATopologyFilter, which make the final decision.
"""

import logging as levels
import random
import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from nova.scheduler import filters, utils
from oslo_config import cfg
from oslo_log import log as logging

from nova_gpu_passthrough import conf as gpu_conf
from nova_gpu_passthrough.policies.base import HostPolicy
from nova_gpu_passthrough.scheduler import mailbox, pools, requests
from nova_gpu_passthrough.scheduler.assessment import Assessment, assess, may_request_gpus
from nova_gpu_passthrough.scheduler.candidates import HostChoice, MalformedCandidatesError
from nova_gpu_passthrough.scheduler.guest_nodes import choices_for_nova
from nova_gpu_passthrough.scheduler.mailbox import FilterObservations, RequestReporter
from nova_gpu_passthrough.scheduler.protection import Protection
from nova_gpu_passthrough.scheduler.refusal_log import HostWarnings, RefusalLog
from nova_gpu_passthrough.topology.fit import DeviceChoice, FitReason, FitRefusal

if TYPE_CHECKING:
    from nova import objects
    from nova.scheduler.host_manager import HostState

LOG = logging.getLogger(__name__)
CONF = cfg.CONF

_IGNORED = "they are ignored"
_REFUSED = "servers with GPUs are refused until that is fixed"


class GpuPassthroughFilter(filters.BaseHostFilter):
    """Pass hosts whose free GPUs fit the request, and choose the devices to claim.

    Hosts are judged by number and model of GPUs, NUMA policy, link and switch requirements and
    companion functions. With PCI in Placement, the allocation candidates of a host that passes are
    replaced by a few, with the best choice of devices first: the scheduler claims the first one
    that the other filters leave.
    """

    # A rebuild keeps the devices of the server.
    RUN_ON_REBUILD = False

    def __init__(self) -> None:
        super().__init__()
        policy = gpu_conf.load_or_exit(CONF)
        section = CONF[gpu_conf.GROUP.name]
        self._aliases = frozenset(section.aliases)
        self._resource_classes = frozenset(section.resource_classes)
        self._max_candidates: int = section.max_candidates
        # Without a state that the workers, which are forked from one process, would share.
        self._rng = random.SystemRandom() if section.randomize_equal_choices else None
        self._warnings = HostWarnings()
        self._protection = Protection(section, self._warnings)
        self._reporter = RequestReporter() if isinstance(policy, HostPolicy) else None
        #: Requests that were logged: a multi-create passes the filter once per server.
        self._logged: weakref.WeakSet[objects.RequestSpec] = weakref.WeakSet()

    def filter_all(
        self, filter_obj_list: "Iterable[HostState]", spec_obj: "objects.RequestSpec"
    ) -> "Iterator[HostState]":
        """Yield the hosts that pass; at the end, log why the others were refused."""
        if utils.request_is_rebuild(spec_obj):
            yield from filter_obj_list
            return
        try:
            request = requests.read(spec_obj, self._aliases, self._resource_classes)
        except Exception as error:  # never raise into the scheduler
            LOG.warning(
                "Cannot read a request (%(type)s: %(error)s); only Nova's own filters check it",
                {"type": type(error).__name__, "error": error},
            )
            yield from filter_obj_list
            return
        observations = FilterObservations()
        if request is None:
            for host_state in filter_obj_list:
                if self._passes_without_gpus(host_state, spec_obj):
                    observations.add_passed(host_state)
                    yield host_state
            self._report(spec_obj, observations)
            return
        refusal_log = RefusalLog(request.server, str(request))
        for host_state in filter_obj_list:
            if self._passes(host_state, spec_obj, request, refusal_log, observations):
                observations.add_passed(host_state)
                yield host_state
        self._report(spec_obj, observations)
        if refusal_log.concerns_gpus:
            logged = spec_obj in self._logged
            self._logged.add(spec_obj)
            refusal_log.log_summary(levels.DEBUG if logged and refusal_log.passed else levels.INFO)

    def host_passes(self, host_state: "HostState", spec_obj: "objects.RequestSpec") -> bool:
        """Judge one host; Nova calls `filter_all`."""
        return bool(list(self.filter_all([host_state], spec_obj)))

    def _passes_without_gpus(
        self, host_state: "HostState", spec_obj: "objects.RequestSpec"
    ) -> bool:
        try:
            reason = self._protection.refusal_reason(host_state, spec_obj)
        except Exception as error:  # never raise into the scheduler, never block such servers
            self._warnings.warn(host_state.host, f"{type(error).__name__}: {error}", "it passes")
            return True
        if reason is None:
            return True
        LOG.debug(
            "Host %(host)s refused for server %(server)s without GPUs: %(reason)s",
            {"host": host_state.host, "server": spec_obj.instance_uuid, "reason": reason},
        )
        return False

    def _passes(
        self,
        host_state: "HostState",
        spec_obj: "objects.RequestSpec",
        request: requests.ServerRequest,
        refusal_log: RefusalLog,
        observations: FilterObservations,
    ) -> bool:
        if request.error and request.certainly_gpu:
            refusal_log.count_refused(
                host_state.host, FitRefusal(FitReason.INVALID_REQUEST, request.error)
            )
            return False
        try:
            assessment = assess(host_state, request, self._rng)
            for gpus in assessment.host.gpus.values():
                self._protection.add_gpus(host_state.host, gpus)
            if self._reporter is not None and not request.error:
                observations.add_assessment(assessment)
            if assessment.host_candidates and assessment.host_candidates.malformed:
                self._warnings.warn(
                    host_state.host, "some of its allocation candidates are malformed", _IGNORED
                )
            if assessment.choices and not request.error:
                self._replace_candidates(host_state, spec_obj, assessment)
        except Exception as error:  # never raise into the scheduler
            if not may_request_gpus(host_state, request):
                return self._passes_without_gpus(host_state, spec_obj)
            problem = str(error)
            if not isinstance(error, (pools.MalformedPoolError, MalformedCandidatesError)):
                problem = f"{type(error).__name__}: {error}"
            self._warnings.warn(host_state.host, problem, _REFUSED)
            refusal_log.count_refused(host_state.host, FitRefusal(FitReason.MALFORMED, problem))
            return False
        if request.error and (assessment.refusal or assessment.choices):
            # Only the devices of the host show that the alias requests GPUs.
            refusal_log.count_refused(
                host_state.host, FitRefusal(FitReason.INVALID_REQUEST, request.error)
            )
            return False
        if assessment.refusal:
            refusal_log.count_refused(host_state.host, assessment.refusal)
            return False
        if not assessment.choices:
            return self._passes_without_gpus(host_state, spec_obj)
        refusal_log.count_passed()
        return True

    def _report(self, spec_obj: "objects.RequestSpec", observations: FilterObservations) -> None:
        if self._reporter is None:
            return
        try:
            self._reporter.report(spec_obj, observations)
        except Exception as error:  # never raise into the scheduler
            LOG.debug("The policy does not learn from a request: %s", error)

    def _replace_candidates(
        self, host_state: "HostState", spec_obj: "objects.RequestSpec", assessment: Assessment
    ) -> None:
        """Replace the host's candidates by those for the best choices, the one to claim first."""
        host_candidates = assessment.host_candidates
        if host_candidates is None or not host_candidates.rewritable:
            return
        choices = assessment.choices
        if self._reporter is not None:
            choices = self._sort_by_preference(host_state, spec_obj, assessment)
        if assessment.request.guest_cells:
            choices = choices_for_nova(host_state, spec_obj, choices, self._max_candidates)
        else:
            # No later filter can refuse the best choice.
            choices = choices[:1]
        host_state.allocation_candidates = host_candidates.write(
            [HostChoice(assessment.host, assessment.request, choice) for choice in choices]
        )

    def _sort_by_preference(
        self, host_state: "HostState", spec_obj: "objects.RequestSpec", assessment: Assessment
    ) -> Sequence[DeviceChoice]:
        try:
            return mailbox.sort_by_preference(spec_obj, host_state, assessment)
        except Exception as error:  # never raise into the scheduler
            self._warnings.warn(
                host_state.host,
                f"{type(error).__name__}: {error}",
                "the policy does not choose among its NUMA nodes",
            )
            return assessment.choices
