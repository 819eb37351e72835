# SPDX-License-Identifier: Apache-2.0
"""The mailbox between filter and weigher, for a policy that ranks whole hosts.

Nova creates filter and weigher separately; they share only the state of this module:

* The filter reports requests, and the hosts that pass where these are few. Nova does not call
  weighers if the filters leave one host or none, so the weigher alone would miss exactly those
  servers that are hardest to place.
* The weigher, which holds the policy, sets the preference by which the filter sorts equally good
  choices of devices.
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

#: How many hosts per request are tracked: the best ones, or those that passed the filter. A later
#: request checks whether the scheduler placed a server there. Nova takes the best host, unless
#: ``[filter_scheduler] host_subset_size`` says otherwise.
MAX_TRACKED_HOSTS = 16
#: How many combinations of aliases, and how many refused classes, are remembered, so that memory
#: use is bounded.
_MAX_REMEMBERED = 1000

#: Sorts choices of devices that fit a server equally well on a host, best first.
DevicePreference = Callable[
    ["objects.RequestSpec", "host_manager.HostState", GpuRequest, Sequence[DeviceChoice]],
    Sequence[DeviceChoice],
]

_T = TypeVar("_T")
#: Requests that the policy does not know yet; the oldest are dropped first.
_requests: deque[RequestClass] = deque(maxlen=1000)
#: Hosts that passed the filter where these were few, and their versions at that time.
_hosts: "deque[tuple[host_manager.HostState, object]]" = deque(maxlen=MAX_TRACKED_HOSTS)

_preference: DevicePreference | None = None


class FilterObservations:
    """The GPU models and hosts that one request met in the filter."""

    def __init__(self) -> None:
        self.gpu_request: GpuRequest | None = None
        #: Models of free GPUs that match the request.
        self.models: set[str] = set()
        self._passed: list[host_manager.HostState] = []

    def add_assessment(self, assessment: Assessment) -> None:
        """Record the assessment of one host."""
        if assessment.request.gpus:
            self.gpu_request = assessment.request
            self.models.update(gpu.model for gpus in assessment.host.gpus.values() for gpu in gpus)

    def add_passed(self, host_state: "host_manager.HostState") -> None:
        """Record a host that passed."""
        if len(self._passed) <= MAX_TRACKED_HOSTS:
            self._passed.append(host_state)

    @property
    def any_passed(self) -> bool:
        """Whether any host passed."""
        return bool(self._passed)

    def few_passed(self) -> "Iterable[host_manager.HostState]":
        """Return all hosts that passed, or none if these are too many to track."""
        return self._passed if len(self._passed) <= MAX_TRACKED_HOSTS else ()


class RequestReporter:
    """The filter's side of the mailbox."""

    def __init__(self) -> None:
        #: GPU models that hosts last offered, by the names of the requested aliases.
        self._models: dict[tuple[str, ...], frozenset[str]] = {}
        #: Projects and classes whose last request fit on no host, the oldest first.
        self._refused: dict[tuple[str, RequestClass], None] = {}

    def report(self, spec_obj: "objects.RequestSpec", observations: FilterObservations) -> None:
        """Report a request and the few hosts that passed."""
        _hosts.extend(
            (host_state, host_version(host_state)) for host_state in observations.few_passed()
        )
        request = observations.gpu_request
        if request is None:
            return
        aliases = tuple(demand.alias for demand in request.gpus)
        if observations.models and len(self._models) < _MAX_REMEMBERED:
            self._models[aliases] = frozenset(observations.models)
        models = observations.models or self._models.get(aliases, frozenset())
        request_class = host_snapshot.request_class(spec_obj, request, models)
        if self._is_new(spec_obj.project_id, request_class, observations.any_passed):
            _requests.append(request_class)

    def _is_new(self, project: str, request_class: RequestClass, passed: bool) -> bool:
        """Check whether a request does not repeat one that fit on no host.

        A request that is repeated until it fits is one request of the mix.
        """
        key = project, request_class
        if passed:
            self._refused.pop(key, None)
            return True
        if key in self._refused:
            return False
        if len(self._refused) >= _MAX_REMEMBERED:
            # Another thread may have dropped the same one.
            self._refused.pop(next(iter(self._refused)), None)
        self._refused[key] = None
        return True


def set_preference(preference: DevicePreference) -> None:
    """Make the filter sort equally good choices by this preference."""
    global _preference
    _preference = preference


def sort_by_preference(
    spec_obj: "objects.RequestSpec", host_state: "host_manager.HostState", assessment: Assessment
) -> Sequence[DeviceChoice]:
    """Return the choices of an assessment, the equally good first ones sorted by preference."""
    choices = assessment.choices
    if _preference is None or len(choices) < 2:
        return choices
    best = choices[0].fit_key()
    equal = [choice for choice in choices if choice.fit_key() == best]
    if len(equal) < 2:
        return choices
    return [*_preference(spec_obj, host_state, assessment.request, equal), *choices[len(equal) :]]


def take_requests() -> Iterator[RequestClass]:
    """Take the classes requested since the last call, oldest first."""
    yield from _take_all(_requests)


def take_hosts() -> "Iterator[tuple[host_manager.HostState, object]]":
    """Take the hosts that passed since the last call, with their versions at that time."""
    yield from _take_all(_hosts)


def host_version(host_state: "host_manager.HostState") -> object:
    """Return a value that changes when the scheduler places a server on the host."""
    return host_state.updated, host_state.num_instances, host_state.free_ram_mb


def _take_all(queue: deque[_T]) -> Iterator[_T]:
    # Other threads may take entries at the same time.
    while True:
        try:
            yield queue.popleft()
        except IndexError:
            return
