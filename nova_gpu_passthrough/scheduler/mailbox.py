# SPDX-License-Identifier: Apache-2.0
"""What filter and weigher tell each other, for a policy that looks at whole hosts.

The filter passes on requests and hosts, since Nova does not ask weighers where the filters leave
one host or none: these would miss just those servers that are hardest to place. The weigher, which
has the policy, tells which of several sets of devices the filter should leave. Nova makes filter
and weigher apart; they meet only here.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.scheduler import host_snapshot
from nova_gpu_passthrough.scheduler.assessment import Assessment
from nova_gpu_passthrough.topology.fit import DeviceChoice
from nova_gpu_passthrough.topology.model import GpuRequest

if TYPE_CHECKING:
    from nova import objects
    from nova.scheduler import host_manager

#: Of how many of the best hosts, or of those that passed the filter, is looked after whether they
#: were taken. Nova takes the best one, unless ``[filter_scheduler] host_subset_size`` says
#: otherwise.
FOLLOWED = 16
#: How many aliases are remembered; a cloud with more has other worries.
_MOST_ALIASES = 1000

#: Sorts choices of devices for a server on a host that fit equally well, the best first.
Preference = Callable[
    ["objects.RequestSpec", "host_manager.HostState", GpuRequest, Sequence[DeviceChoice]],
    Sequence[DeviceChoice],
]

_T = TypeVar("_T")
#: Requests that the policy has not seen; the oldest are lost beyond that.
_requests: deque[RequestClass] = deque(maxlen=1000)
#: Hosts that passed the filter where they were few, and their stamps then.
_hosts: "deque[tuple[host_manager.HostState, object]]" = deque(maxlen=FOLLOWED)

_preference: Preference | None = None


class Seen:
    """What the hosts told of one request."""

    def __init__(self) -> None:
        self.request: GpuRequest | None = None
        #: Models of free GPUs that match it.
        self.models: set[str] = set()
        self._few: list[host_manager.HostState] = []

    def judged(self, result: Assessment) -> None:
        """Take in the answer of one host."""
        if result.request.gpus:
            self.request = result.request
            self.models.update(gpu.model for gpus in result.host.gpus.values() for gpu in gpus)

    def passed(self, host_state: "host_manager.HostState") -> None:
        """Take in a host that passed."""
        if len(self._few) <= FOLLOWED:
            self._few.append(host_state)

    def few(self) -> "Iterable[host_manager.HostState]":
        """All hosts that passed; none if they are many."""
        return self._few if len(self._few) <= FOLLOWED else ()


class Teller:
    """The filter's end."""

    def __init__(self) -> None:
        #: Models that hosts offered when some were free last, by the names of the aliases.
        self._models: dict[tuple[str, ...], frozenset[str]] = {}

    def tell(self, spec_obj: "objects.RequestSpec", seen: Seen) -> None:
        """Pass on what was seen of a request."""
        _hosts.extend((host_state, stamp(host_state)) for host_state in seen.few())
        request = seen.request
        if request is None:
            return
        aliases = tuple(demand.alias for demand in request.gpus)
        if seen.models and len(self._models) < _MOST_ALIASES:
            self._models[aliases] = frozenset(seen.models)
        models = seen.models or self._models.get(aliases, frozenset())
        _requests.append(host_snapshot.request_class(spec_obj, request, models))


def prefer_by(preference: Preference) -> None:
    """Have the filter sort equally good choices by this from now on."""
    global _preference
    _preference = preference


def preferred(
    spec_obj: "objects.RequestSpec", host_state: "host_manager.HostState", result: Assessment
) -> Sequence[DeviceChoice]:
    """The choices of a result, those that fit the server equally well by preference."""
    choices = result.choices
    if _preference is None or len(choices) < 2:
        return choices
    best = choices[0].fit_key()
    equal = [choice for choice in choices if choice.fit_key() == best]
    if len(equal) < 2:
        return choices
    return [*_preference(spec_obj, host_state, result.request, equal), *choices[len(equal) :]]


def requests() -> Iterator[RequestClass]:
    """Take the classes that were asked for since the last time, the oldest first."""
    yield from _taken(_requests)


def hosts() -> "Iterator[tuple[host_manager.HostState, object]]":
    """Take the hosts that may have been taken since the last time, and their stamps before."""
    yield from _taken(_hosts)


def stamp(host_state: "host_manager.HostState") -> object:
    """Something that differs once the scheduler has taken the host for a server."""
    return host_state.updated, host_state.num_instances, host_state.free_ram_mb


def _taken(queue: deque[_T]) -> Iterator[_T]:
    # Other threads may take, too.
    while True:
        try:
            yield queue.popleft()
        except IndexError:
            return
