# SPDX-License-Identifier: Apache-2.0
"""Asks a policy that looks at whole hosts, and keeps it up to date."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from oslo_log import log as logging

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.packing.host_state import HostState, shared
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.policies.base import HostPolicy, Offer, Settings
from nova_gpu_passthrough.scheduler import host_snapshot, mailbox
from nova_gpu_passthrough.scheduler.candidates import Fitted
from nova_gpu_passthrough.scheduler.refusal_log import Warnings
from nova_gpu_passthrough.topology.fit import DeviceChoice
from nova_gpu_passthrough.topology.model import Gpu, GpuRequest

if TYPE_CHECKING:
    from nova import objects
    from nova.scheduler import host_manager

LOG = logging.getLogger(__name__)

#: A host that no request has met for so many seconds counts no longer: it may be gone, or filled
#: up by another scheduler. Those that fit no request have little left to count.
_FORGET_AFTER = 1800.0
#: What so many different servers would leave is kept of every host.
_MOST_AFTERS = 32
#: How often, in seconds, the mix file is looked at.
_LOOK_EVERY = 10.0
#: A host that never had GPUs: nothing that is placed there destroys anything.
_WITHOUT_GPUS = HostState((), 0, 0)


class HostRanking:
    """One policy's view of the hosts that this scheduler has met.

    nova-scheduler may serve several requests at a time in threads: one after the other is ranked.
    """

    def __init__(self, policy: HostPolicy, settings: Settings, warnings: Warnings) -> None:
        self._policy = policy
        self._settings = settings
        self._warnings = warnings
        self._lock = threading.Lock()
        #: In the order in which they were met.
        self._met: dict[str, _Met] = {}
        #: Those that had free GPUs once.
        self._gpu_hosts: set[str] = set()
        #: Hosts that were ranked best, and what was known of them then. The scheduler writes into
        #: the one that it takes, and forgets it.
        self._best: list[tuple[host_manager.HostState, object]] = []
        mailbox.prefer_by(self.prefer)
        # What another weigher of this process has left over.
        list(mailbox.requests())
        list(mailbox.hosts())
        self._looked = time.monotonic()
        self._stamp = self._file_stamp()

    def rank(
        self,
        spec_obj: "objects.RequestSpec",
        hosts: "Sequence[tuple[host_manager.HostState, Fitted | None]]",
    ) -> list[float]:
        """How good each host is for a request, beside the others: 0..1, the higher the better.

        :param hosts: hosts and how the server's GPUs fit there; None, if it asks for none there
        """
        with self._lock:
            self._reload()
            self._follow()
            self._forget()
            for wanted in mailbox.requests():
                self._policy.learn(wanted)
            return self._rank(spec_obj, hosts)

    def prefer(
        self,
        spec_obj: "objects.RequestSpec",
        host_state: "host_manager.HostState",
        request: GpuRequest,
        choices: Sequence[DeviceChoice],
    ) -> Sequence[DeviceChoice]:
        """Choices of devices on one host, the one first that harms the least."""
        with self._lock:
            host = self._observe(host_state)
            if host is None:
                return choices
            wanted = host_snapshot.request_class(spec_obj, request)
            prices = []
            for choice in choices:
                after = host.after(wanted, choice.gpus)
                if after is None:
                    return choices
                prices.append(self._policy.price(host.before, after))
        order = sorted(range(len(choices)), key=prices.__getitem__)
        return [choices[index] for index in order]

    def _rank(
        self,
        spec_obj: "objects.RequestSpec",
        hosts: "Sequence[tuple[host_manager.HostState, Fitted | None]]",
    ) -> list[float]:
        classes = _classes(spec_obj)
        ranks = [0.0] * len(hosts)
        offers: list[Offer] = []
        indices: list[int] = []
        for index, (host_state, fitted) in enumerate(hosts):
            try:
                offer = self._offer(classes, host_state, fitted)
                if offer is not None:
                    offers.append(offer)
                    indices.append(index)
                elif fitted is not None:
                    ranks[index] = self._policy.score(fitted.host, fitted.request, fitted.choice)
            except Exception as error:  # never raise into the scheduler
                self._warnings.warn(
                    host_state.host, f"{type(error).__name__}: {error}", "its rank is the lowest"
                )
        for index, rank in zip(indices, self._policy.rank(offers), strict=True):
            ranks[index] = rank
        order = sorted(indices, key=ranks.__getitem__, reverse=True)[: mailbox.FOLLOWED]
        self._best = [(hosts[index][0], mailbox.stamp(hosts[index][0])) for index in order]
        return ranks

    def _offer(
        self,
        classes: Callable[[GpuRequest | None], RequestClass],
        host_state: "host_manager.HostState",
        fitted: Fitted | None,
    ) -> Offer | None:
        """None for a server whose GPUs are not known as such without it."""
        host = self._observe(host_state)
        if host is None:
            return None if fitted else Offer(_WITHOUT_GPUS, _WITHOUT_GPUS)
        if fitted is None:
            after = host.after(classes(None), ())
        else:
            after = host.after(classes(fitted.request), fitted.choice.gpus)
        if after is None:
            return None
        return Offer(host.before, after, fitted.choice.numa_quality if fitted else 1.0)

    def _observe(self, host_state: "host_manager.HostState") -> "_Met | None":
        """None for a host that never had GPUs."""
        name = f"{host_state.host} {host_state.nodename}"
        whole = host_snapshot.read(host_state, name in self._gpu_hosts)
        if whole is None:
            return None
        self._gpu_hosts.add(name)
        # Out and in again: the times stay in order.
        host = self._met.pop(name, None)
        if host is None or host.whole != whole:
            host = _Met(whole)
        host.when = time.monotonic()
        self._met[name] = host
        self._policy.observe(name, host.before)
        return host

    def _follow(self) -> None:
        """See what has become of the hosts that were ranked best: a full one is met no more."""
        followed, self._best = [*self._best, *mailbox.hosts()], []
        for host_state, stamp in followed:
            try:
                if mailbox.stamp(host_state) != stamp:
                    self._observe(host_state)
            except Exception as error:  # never raise into the scheduler
                LOG.debug("%(host)s: %(error)s", {"host": host_state.host, "error": error})

    def _forget(self) -> None:
        deadline = time.monotonic() - _FORGET_AFTER
        while self._met:
            name, host = next(iter(self._met.items()))
            if host.when >= deadline:
                break
            del self._met[name]
            self._policy.forget(name)

    def _reload(self) -> None:
        """Begin anew with the mix file, if it has changed."""
        now = time.monotonic()
        if self._settings.mix_file is None or now - self._looked < _LOOK_EVERY:
            return
        self._looked = now
        stamp = self._file_stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._policy.configure(self._settings)
        except UserError as error:
            LOG.warning("The mix file has changed and is left aside: %s", error)
            return
        LOG.info("The mix file %s is read again", self._settings.mix_file)

    def _file_stamp(self) -> object:
        path = self._settings.mix_file
        try:
            found = path.stat() if path else None
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_size, found.st_ino) if found else None


class _Met:
    """A host that was met, and what was worked out of it: kept until it changes."""

    __slots__ = ("_afters", "before", "when", "whole")

    def __init__(self, whole: host_snapshot.WholeHost) -> None:
        self.whole = whole.kept()
        self.before = whole.before()
        self.when = 0.0
        self._afters: dict[object, HostState | None] = {}

    def after(self, wanted: RequestClass, gpus: Sequence[Gpu]) -> HostState | None:
        """What a server with these GPUs would leave of it; None if they are not known."""
        places = self.whole.places(gpus)
        key = wanted, places
        if key in self._afters:
            return self._afters[key]
        if len(self._afters) >= _MOST_AFTERS:
            self._afters.clear()
        after = self._afters[shared(key)] = self.whole.after(wanted, places)
        return after


def _classes(spec_obj: "objects.RequestSpec") -> Callable[[GpuRequest | None], RequestClass]:
    """What is asked of hosts, worked out once where they are asked for the same."""
    known: list[tuple[GpuRequest | None, RequestClass]] = []

    def of(request: GpuRequest | None) -> RequestClass:
        for other, wanted in known:
            if other == request:
                return wanted
        wanted = host_snapshot.request_class(spec_obj, request)
        known.append((request, wanted))
        return wanted

    return of
