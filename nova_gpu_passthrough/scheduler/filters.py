# SPDX-License-Identifier: Apache-2.0
"""The filter that knows GPUs and chooses the very devices of a server.

It stands before PciPassthroughFilter and NUMATopologyFilter, which stay on as the final word.
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
from nova_gpu_passthrough.scheduler.assessment import Assessment, assess
from nova_gpu_passthrough.scheduler.candidates import Fitted, MalformedCandidatesError
from nova_gpu_passthrough.scheduler.mailbox import Seen, Teller
from nova_gpu_passthrough.scheduler.protection import Protection
from nova_gpu_passthrough.scheduler.refusal_log import Tally, Warnings
from nova_gpu_passthrough.scheduler.requests import surely_fits
from nova_gpu_passthrough.scheduler.startup import configure
from nova_gpu_passthrough.topology.fit import DeviceChoice, Reason, Refusal

if TYPE_CHECKING:
    from nova import objects
    from nova.scheduler.host_manager import HostState

LOG = logging.getLogger(__name__)
CONF = cfg.CONF

_LEFT_OUT = "they are left out"
_REFUSED = "it is refused to servers with GPUs until that is fixed"


class GpuPassthroughFilter(filters.BaseHostFilter):
    """Passes hosts whose free GPUs serve the request, and leaves the best devices to claim.

    Hosts are judged by count, model, NUMA policy, link and switch requirement and companions.
    With PCI in Placement the allocation candidates of a host that passes are replaced by few
    ones, the best choice of devices first: the scheduler claims the first that stays.
    """

    # A rebuild keeps the devices of the server.
    RUN_ON_REBUILD = False

    def __init__(self) -> None:
        super().__init__()
        policy = configure(CONF)
        section = CONF[gpu_conf.GROUP.name]
        self._aliases = frozenset(section.aliases)
        self._resource_classes = frozenset(section.resource_classes)
        self._max_candidates: int = section.max_candidates
        self._rng = random.Random() if section.randomize_equal_choices else None
        self._warnings = Warnings()
        self._protection = Protection(section, self._warnings)
        self._teller = Teller() if isinstance(policy, HostPolicy) else None
        #: Requests whose line was written: a multi-create passes the filter once per server.
        self._told: weakref.WeakSet[objects.RequestSpec] = weakref.WeakSet()

    def filter_all(
        self, filter_obj_list: "Iterable[HostState]", spec_obj: "objects.RequestSpec"
    ) -> "Iterator[HostState]":
        """Yield the hosts that pass; at the end, say why the others did not."""
        if utils.request_is_rebuild(spec_obj):
            yield from filter_obj_list
            return
        try:
            request = requests.read(spec_obj, self._aliases, self._resource_classes)
        except Exception as error:  # never raise into the scheduler
            LOG.warning(
                "A request cannot be read (%(type)s: %(error)s); it is left to Nova's own filters",
                {"type": type(error).__name__, "error": error},
            )
            yield from filter_obj_list
            return
        seen = Seen()
        if request is None:
            for host_state in filter_obj_list:
                if self._passes_without_gpus(host_state, spec_obj):
                    seen.passed(host_state)
                    yield host_state
            self._tell(spec_obj, seen)
            return
        tally = Tally(request.server, str(request))
        for host_state in filter_obj_list:
            if self._passes(host_state, spec_obj, request, tally, seen):
                seen.passed(host_state)
                yield host_state
        self._tell(spec_obj, seen)
        if tally.concerns_gpus:
            told = spec_obj in self._told
            self._told.add(spec_obj)
            tally.log(levels.DEBUG if told and tally.fitting else levels.INFO)

    def host_passes(self, host_state: "HostState", spec_obj: "objects.RequestSpec") -> bool:
        """Judge one host; Nova calls `filter_all`."""
        return bool(list(self.filter_all([host_state], spec_obj)))

    def _passes_without_gpus(
        self, host_state: "HostState", spec_obj: "objects.RequestSpec"
    ) -> bool:
        try:
            why = self._protection.why_refused(host_state, spec_obj)
        except Exception as error:  # never raise into the scheduler, never block such servers
            self._warnings.warn(host_state.host, f"{type(error).__name__}: {error}", "it passes")
            return True
        if why is None:
            return True
        LOG.debug(
            "Host %(host)s refused for server %(server)s without GPUs: %(why)s",
            {"host": host_state.host, "server": spec_obj.instance_uuid, "why": why},
        )
        return False

    def _passes(
        self,
        host_state: "HostState",
        spec_obj: "objects.RequestSpec",
        request: requests.ServerRequest,
        tally: Tally,
        seen: Seen,
    ) -> bool:
        if request.error and request.certainly_gpu:
            tally.refuses(host_state.host, Refusal(Reason.INVALID_REQUEST, request.error))
            return False
        try:
            result = assess(host_state, request, self._rng)
            if self._teller is not None and not request.error:
                seen.judged(result)
            if result.union and result.union.malformed:
                self._warnings.warn(
                    host_state.host, "some of its allocation candidates are malformed", _LEFT_OUT
                )
            if result.choices and not request.error:
                self._offer(host_state, spec_obj, result)
        except Exception as error:  # never raise into the scheduler
            if not request.certainly_gpu:
                return self._passes_without_gpus(host_state, spec_obj)
            problem = str(error)
            if not isinstance(error, (pools.MalformedPoolError, MalformedCandidatesError)):
                problem = f"{type(error).__name__}: {error}"
            self._warnings.warn(host_state.host, problem, _REFUSED)
            tally.refuses(host_state.host, Refusal(Reason.MALFORMED, problem))
            return False
        if request.error and (result.refusal or result.choices):
            # That the alias asks for GPUs was told by the host's devices only.
            tally.refuses(host_state.host, Refusal(Reason.INVALID_REQUEST, request.error))
            return False
        if result.refusal:
            tally.refuses(host_state.host, result.refusal)
            return False
        if not result.choices:
            return self._passes_without_gpus(host_state, spec_obj)
        tally.fits()
        return True

    def _tell(self, spec_obj: "objects.RequestSpec", seen: Seen) -> None:
        if self._teller is None:
            return
        try:
            self._teller.tell(spec_obj, seen)
        except Exception as error:  # never raise into the scheduler
            LOG.debug("The policy does not learn of a request: %s", error)

    def _offer(
        self, host_state: "HostState", spec_obj: "objects.RequestSpec", result: Assessment
    ) -> None:
        """Leave candidates for the best choices only, the first being the one to claim."""
        union = result.union
        if union is None or not union.separable:
            return
        choices = result.choices
        if self._teller is not None:
            choices = self._preferred(host_state, spec_obj, result)
        # Without guest NUMA cells no filter behind this one can object to the best choice.
        most = self._max_candidates if result.request.guest_cells else 1
        if min(most, len(choices)) > 1 and surely_fits(host_state, spec_obj, choices[0]):
            most = 1
        host_state.allocation_candidates = union.write(
            [Fitted(result.host, result.request, choice) for choice in choices[:most]]
        )

    def _preferred(
        self, host_state: "HostState", spec_obj: "objects.RequestSpec", result: Assessment
    ) -> Sequence[DeviceChoice]:
        try:
            return mailbox.preferred(spec_obj, host_state, result)
        except Exception as error:  # never raise into the scheduler
            self._warnings.warn(
                host_state.host,
                f"{type(error).__name__}: {error}",
                "the policy does not choose among NUMA nodes",
            )
            return result.choices
