# SPDX-License-Identifier: Apache-2.0
"""Rank hosts by a policy for whole hosts, and keep the policy up to date."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from oslo_log import log as logging

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.packing.host_state import HostState, interned
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.policies.base import HostPolicy, PlacementOption, PolicySettings
from nova_gpu_passthrough.scheduler import host_snapshot, mailbox
from nova_gpu_passthrough.scheduler.candidates import HostChoice
from nova_gpu_passthrough.scheduler.refusal_log import HostWarnings
from nova_gpu_passthrough.topology.fit import DeviceChoice
from nova_gpu_passthrough.topology.model import FreeGpu, GpuRequest

if TYPE_CHECKING:
    from nova import objects
    from nova.scheduler import host_manager

LOG = logging.getLogger(__name__)

#: Seconds after which a host is forgotten that passed the filters for no request: it may be
#: removed, or filled by another scheduler. A host that fits no request has little left to count.
_FORGET_AFTER = 1800.0
#: How many results of placements are kept per host.
_MAX_AFTER_STATES = 32
#: Interval in seconds between checks of the mix file.
_MIX_CHECK_INTERVAL = 10.0
#: A host that never had GPUs: a placement there harms nothing.
_WITHOUT_GPUS = HostState((), 0, 0)


class HostRanking:
    """Ranks the hosts that this scheduler knows by one policy.

    nova-scheduler may serve several requests at a time in threads: they are ranked one by one.
    """

    def __init__(
        self, policy: HostPolicy, settings: PolicySettings, warnings: HostWarnings
    ) -> None:
        self._policy = policy
        self._settings = settings
        self._warnings = warnings
        self._lock = threading.Lock()
        #: The least recently seen first.
        self._known_hosts: dict[str, _KnownHost] = {}
        #: Names of the hosts that had free GPUs at some time.
        self._gpu_hosts: set[str] = set()
        #: The best hosts of the latest request and their versions at that time. The scheduler
        #: updates the one that it selects, and then drops it.
        self._best_hosts: list[tuple[host_manager.HostState, object]] = []
        mailbox.set_preference(self.sort_choices)
        # Drop what was reported for an earlier weigher of this process.
        list(mailbox.take_requests())
        list(mailbox.take_hosts())
        self._mix_checked_at = time.monotonic()
        self._mix_version = self._mix_file_version()

    def rank(
        self,
        spec_obj: "objects.RequestSpec",
        hosts: "Sequence[tuple[host_manager.HostState, HostChoice | None]]",
    ) -> list[float]:
        """Rank the hosts for a request against each other: 0..1, higher is better.

        :param hosts: hosts with the choice of GPUs there; None if the server gets no GPUs
        """
        with self._lock:
            self._reload_mix()
            self._update_tracked_hosts()
            self._forget_hosts()
            for request_class in mailbox.take_requests():
                self._policy.learn(request_class)
            return self._rank(spec_obj, hosts)

    def sort_choices(
        self,
        spec_obj: "objects.RequestSpec",
        host_state: "host_manager.HostState",
        request: GpuRequest,
        choices: Sequence[DeviceChoice],
    ) -> Sequence[DeviceChoice]:
        """Sort choices of devices on one host, the least harmful first."""
        with self._lock:
            host = self._observe(host_state)
            if host is None:
                return choices
            request_class = host_snapshot.request_class(spec_obj, request)
            prices = []
            for choice in choices:
                after = host.after(request_class, choice.gpus)
                if after is None:
                    return choices
                prices.append(self._policy.price(host.before, after))
        order = sorted(range(len(choices)), key=prices.__getitem__)
        return [choices[index] for index in order]

    def _rank(
        self,
        spec_obj: "objects.RequestSpec",
        hosts: "Sequence[tuple[host_manager.HostState, HostChoice | None]]",
    ) -> list[float]:
        request_class_of = _cached_request_class(spec_obj)
        ranks = [0.0] * len(hosts)
        options: list[PlacementOption] = []
        indices: list[int] = []
        for index, (host_state, host_choice) in enumerate(hosts):
            try:
                option = self._placement_option(request_class_of, host_state, host_choice)
                if option is not None:
                    options.append(option)
                    indices.append(index)
                elif host_choice is not None:
                    ranks[index] = self._policy.score(
                        host_choice.host, host_choice.request, host_choice.choice
                    )
            except Exception as error:  # never raise into the scheduler
                self._warnings.warn(
                    host_state.host, f"{type(error).__name__}: {error}", "its rank is the lowest"
                )
        for index, rank in zip(indices, self._policy.rank(options), strict=True):
            ranks[index] = rank
        best = sorted(indices, key=ranks.__getitem__, reverse=True)[: mailbox.MAX_TRACKED_HOSTS]
        self._best_hosts = [
            (hosts[index][0], mailbox.host_version(hosts[index][0])) for index in best
        ]
        return ranks

    def _placement_option(
        self,
        request_class_of: Callable[[GpuRequest | None], RequestClass],
        host_state: "host_manager.HostState",
        host_choice: HostChoice | None,
    ) -> PlacementOption | None:
        """Return the host before and after the placement; None if the GPUs are of unknown model."""
        host = self._observe(host_state)
        if host is None:
            return None if host_choice else PlacementOption(_WITHOUT_GPUS, _WITHOUT_GPUS)
        if host_choice is None:
            after = host.after(request_class_of(None), ())
        else:
            after = host.after(request_class_of(host_choice.request), host_choice.choice.gpus)
        if after is None:
            return None
        quality = host_choice.choice.numa_quality if host_choice else 1.0
        return PlacementOption(host.before, after, quality)

    def _observe(self, host_state: "host_manager.HostState") -> "_KnownHost | None":
        """Update a host here and in the policy; return None if it never had GPUs."""
        name = f"{host_state.host} {host_state.nodename}"
        snapshot = host_snapshot.read(host_state, name in self._gpu_hosts)
        if snapshot is None:
            return None
        self._gpu_hosts.add(name)
        # Removed and inserted, to keep the order of the times.
        host = self._known_hosts.pop(name, None)
        if host is None or host.snapshot != snapshot:
            host = _KnownHost(snapshot)
        host.last_seen = time.monotonic()
        self._known_hosts[name] = host
        self._policy.observe(name, host.before)
        return host

    def _update_tracked_hosts(self) -> None:
        """Observe the tracked hosts that got a server: a full host passes no filter again."""
        tracked, self._best_hosts = [*self._best_hosts, *mailbox.take_hosts()], []
        for host_state, version in tracked:
            try:
                if mailbox.host_version(host_state) != version:
                    self._observe(host_state)
            except Exception as error:  # never raise into the scheduler
                LOG.debug("%(host)s: %(error)s", {"host": host_state.host, "error": error})

    def _forget_hosts(self) -> None:
        deadline = time.monotonic() - _FORGET_AFTER
        while self._known_hosts:
            name, host = next(iter(self._known_hosts.items()))
            if host.last_seen >= deadline:
                break
            del self._known_hosts[name]
            self._policy.forget(name)

    def _reload_mix(self) -> None:
        """Configure the policy again if the mix file has changed."""
        now = time.monotonic()
        if self._settings.mix_file is None or now - self._mix_checked_at < _MIX_CHECK_INTERVAL:
            return
        self._mix_checked_at = now
        version = self._mix_file_version()
        if version == self._mix_version:
            return
        self._mix_version = version
        try:
            self._policy.configure(self._settings)
        except UserError as error:
            LOG.warning("The mix file has changed, but cannot be used and is ignored: %s", error)
            return
        LOG.info("The mix file %s has changed and is loaded", self._settings.mix_file)

    def _mix_file_version(self) -> object:
        path = self._settings.mix_file
        try:
            status = path.stat() if path else None
        except OSError:
            return None
        return (status.st_mtime_ns, status.st_size, status.st_ino) if status else None


class _KnownHost:
    """A host known to this scheduler, with results computed from it until it changes."""

    __slots__ = ("_after_states", "before", "last_seen", "snapshot")

    def __init__(self, snapshot: host_snapshot.HostSnapshot) -> None:
        self.snapshot = snapshot.interned()
        self.before = snapshot.before()
        self.last_seen = 0.0
        self._after_states: dict[object, HostState | None] = {}

    def after(self, request_class: RequestClass, gpus: Sequence[FreeGpu]) -> HostState | None:
        """Return the state with a server and these GPUs; None if these are not known."""
        locations = self.snapshot.locations(gpus)
        key = request_class, locations
        if key in self._after_states:
            return self._after_states[key]
        if len(self._after_states) >= _MAX_AFTER_STATES:
            self._after_states.clear()
        after = self.snapshot.after(request_class, locations)
        self._after_states[interned(key)] = after
        return after


def _cached_request_class(
    spec_obj: "objects.RequestSpec",
) -> Callable[[GpuRequest | None], RequestClass]:
    """Return a function from a GPU request to the class of the server.

    It computes each class once: the GPU requests of most hosts are equal.
    """
    known: list[tuple[GpuRequest | None, RequestClass]] = []

    def request_class_of(request: GpuRequest | None) -> RequestClass:
        for other, request_class in known:
            if other == request:
                return request_class
        request_class = host_snapshot.request_class(spec_obj, request)
        known.append((request, request_class))
        return request_class

    return request_class_of
