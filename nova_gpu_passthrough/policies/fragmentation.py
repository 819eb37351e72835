# SPDX-License-Identifier: Apache-2.0
"""The policy ``fragmentation``: keep as many GPUs as possible usable for the mix of requests.

For a state ``s`` of a host and a class ``m`` of the mix, ``usable(s, m)`` is the number of GPUs
that further servers of ``m`` could use there, limited by vCPUs, RAM, NUMA cells and link groups as
well as by the GPUs. The price of a placement is what it destroys of that::

    price = sum over m of w(m) x value x (usable(before, m) - usable(after, m))

The cheapest host wins; among equally cheap ones the one with the fewest free GPUs, then the one
with the fewest free vCPUs: servers without GPUs fill one host without free GPUs after the other,
and leave others empty for larger servers. ``value`` is the value of the GPUs, and the weights say
how much each place for a server of a class will be missed::

    w(m) = gpus(m) x max(0.01, min(1, need(m) / supply(m))^5)

``supply`` is the sum of ``usable`` over all hosts as they are now. ``need`` is the number of GPUs
that will be requested, until the free ones are used up, by servers of ``m`` and of all classes that
demand at least as much and so take the same places: their share of the requested GPUs, times the
free GPUs. While there are many more places than that, losing one costs little; once there are as
few, each lost place is a refused server, and no place costs more than that. (The newsvendor problem
values a further item in the same way: by the probability that it will be requested.) A place never
counts less than a hundredth of that: where servers come and go, the free GPUs may never be used up,
and yet large servers wait for whole hosts. Exponent and least weight were chosen with two
production traces (openb's default and multigpu20), by the GPUs left unallocated and by the waiting
times where servers come and go, and checked with a third.

A similar method is fragmentation gradient descent (FGD: Weng et al., "Beware of Fragmentation",
USENIX ATC 2023): it minimizes the expected loss over a mix of requests, but counts whole hosts
instead of numbers of servers, and weights each class by how often it is requested.

To drive the policy without Nova::

    policy = Fragmentation(Mix({request_class: count, ...}))
    for name, state in states.items():
        policy.observe(name, canonical(state))
    for request_class in requests:
        options = [
            (policy.sort_key(states[name], after), name, after)
            for name in names
            for after in placements(states[name], request_class)
        ]
        if options:
            _, name, after = min(options)
            states[name] = after
            policy.observe(name, after)

A price depends on states only, so that like hosts need to be priced once. The hot part can be
computed with matrices: ``values(state)`` is a vector over ``classes`` that depends on the state
only, ``weights()`` changes with the hosts, and ``price`` is the product of the loss of values and
the weights.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from operator import mul, sub

from nova_gpu_passthrough.catalog import models
from nova_gpu_passthrough.packing.count_servers import usable_gpus, usable_gpus_by_class
from nova_gpu_passthrough.packing.host_state import HostState
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.policies import mix as mixes
from nova_gpu_passthrough.policies.base import HostPolicy, PlacementOption, PolicySettings
from nova_gpu_passthrough.policies.mix import Mix
from nova_gpu_passthrough.policies.pack import Pack
from nova_gpu_passthrough.topology.fit import DeviceChoice
from nova_gpu_passthrough.topology.model import GpuRequest, HostGpus

#: How steeply the weight of a class grows as places for it get scarce.
SCARCITY_EXPONENT = 5
#: Weight of a place that is plentiful, relative to one that will be missed.
LEAST_SCARCITY = 0.01
#: Number of cached states beyond twice the number of hosts.
_SPARE_STATES = 4096
#: Decimal places of prices: hides rounding errors that depend on the order of additions.
DIGITS = 12


class _StateValue:
    """The usable GPUs of a state, by class."""

    __slots__ = ("counts", "free_value", "state", "values")

    def __init__(
        self, state: HostState, counts: Iterable[int], values: Iterable[float], free_value: float
    ) -> None:
        self.state = state
        #: Number of GPUs that servers of each class can use, and their value. Tuples of numbers,
        #: since Python's garbage collector does not track them.
        self.counts = tuple(counts)
        self.values = tuple(values)
        #: Value of all free GPUs.
        self.free_value = free_value


class Fragmentation(HostPolicy):
    """Prefers the placements that destroy the least usable capacity.

    :param mix: the mix of requests; with an empty one, hosts are packed
    :param gpu_value: returns the value of a GPU by its model (default: the catalogue's value)
    """

    def __init__(
        self, mix: Mix | None = None, gpu_value: Callable[[str], float] | None = None
    ) -> None:
        self._gpu_value = gpu_value or (lambda model: models.value_of(model, {}))
        self._hosts: dict[str, _StateValue] = {}
        self._pack = Pack()
        self._use(mix or Mix())

    def configure(self, settings: PolicySettings) -> None:
        """Start again with the configured mix and values of GPUs.

        :raises UserError: if the mix file is invalid
        """
        values = dict(settings.gpu_values)
        self._gpu_value = lambda model: models.value_of(model, values)
        counts = settings.mix
        if not counts and settings.mix_file:
            counts = mixes.load(settings.mix_file)
        self._use(Mix(counts, settings.mix_half_life))

    def _use(self, mix: Mix) -> None:
        self._mix = mix
        self._classes = list(mix.counts)
        self._class_values = [self._class_value(one) for one in self._classes]
        self._cache: dict[HostState, _StateValue] = {}
        self._weights: list[float] | None = None
        self._competitors: list[list[int]] | None = None
        self._supply = [0] * len(self._classes)
        self._free: Counter[str | None] = Counter()
        hosts, self._hosts = self._hosts, {}
        for name, host in hosts.items():
            self.observe(name, host.state)

    @property
    def classes(self) -> Sequence[RequestClass]:
        """The classes of the mix, in the order of all vectors."""
        return self._classes

    @property
    def supply(self) -> Sequence[int]:
        """Number of GPUs that servers of each class could use now, over all hosts."""
        return self._supply

    def observe(self, host: str, state: HostState) -> None:
        """Record the current state of a host, in canonical form; cheap if it did not change."""
        old = self._hosts.get(host)
        if old is not None:
            if old.state == state:
                return
            self._subtract(old)
        now = self._hosts[host] = self._state_value(state)
        self._supply = [a + b for a, b in zip(self._supply, now.counts, strict=True)]
        for group in state.gpu_groups():
            self._free[group.model] += group.free
            self._free[None] += group.free
        self._weights = None

    def forget(self, host: str) -> None:
        """Remove a host from the sums."""
        old = self._hosts.pop(host, None)
        if old is not None:
            self._subtract(old)
            self._weights = None

    def learn(self, request_class: RequestClass) -> None:
        """Add a request for a server of this class to the mix."""
        size = len(self._mix.counts)
        dropped = self._mix.learn(request_class)
        self._weights = None
        if dropped is not None:
            self._put_class(request_class, self._classes.index(dropped))
        elif len(self._mix.counts) > size:
            self._classes.append(request_class)
            self._class_values.append(None)
            self._supply.append(0)
            self._put_class(request_class, size)

    def weights(self) -> list[float]:
        """Return the weight of each class for the hosts as they are now."""
        if self._weights is None:
            self._weights = [
                request_class.gpus * _scarcity(need, supply)
                for request_class, need, supply in zip(
                    self._classes, self._needs(), self._supply, strict=True
                )
            ]
        return self._weights

    def values(self, state: HostState) -> Sequence[float]:
        """Return the value of the GPUs that further servers of each class could use there."""
        return self._state_value(state).values

    def price(self, before: HostState, after: HostState) -> float:
        """Return the weighted value of usable GPUs that a placement destroys."""
        lost = map(sub, self._state_value(before).values, self._state_value(after).values)
        price: float = sum(map(mul, self.weights(), lost))
        return round(price, DIGITS)

    def sort_key(self, before: HostState, after: HostState) -> tuple[float, float, int]:
        """Return price, value of the free GPUs and free vCPUs: the smallest key wins."""
        return self.price(before, after), self._state_value(before).free_value, before.vcpus

    def rank(self, options: Sequence[PlacementOption]) -> list[float]:
        """Rank the best options 1, the second best 1/2, then 1/3 and so on.

        Prices have no natural scale, and a small difference may matter. So the best hosts get
        clearly different ranks, however close their prices, and no sum of other weighers comes
        between them. Quality goes before price.
        """
        cache: dict[tuple[HostState, HostState], tuple[float, float, int]] = {}
        keys = []
        for before, after, quality in options:
            key = cache.get((before, after))
            if key is None:
                key = cache[before, after] = self.sort_key(before, after)
            keys.append((-round(quality, DIGITS), *key))
        positions = {key: position for position, key in enumerate(sorted(set(keys)))}
        return [1.0 / (1 + positions[key]) for key in keys]

    def score(self, host: HostGpus, request: GpuRequest, choice: DeviceChoice) -> float:
        """Return the score of ``pack``, for a host whose state is not known as a whole."""
        return self._pack.score(host, request, choice)

    def _needs(self) -> list[float]:
        """Return how many GPUs servers that demand at least as much as each class will request.

        That is until the free GPUs are used up: those of the class's model, if it has one.
        """
        if self._competitors is None:
            self._competitors = [
                [n for n, other in enumerate(self._classes) if other.demands_at_least(one)]
                for one in self._classes
            ]
        counts = self._mix.counts
        demand = [counts[one] * one.gpus for one in self._classes]
        requested: dict[str | None, float] = {None: sum(demand)}
        for one, gpus in zip(self._classes, demand, strict=True):
            if one.model is not None:
                requested[one.model] = requested.get(one.model, 0.0) + gpus
        needs = []
        for one, competitors in zip(self._classes, self._competitors, strict=True):
            total = requested[one.model]
            # The counts of classes that are no longer requested become 0.
            share = sum(demand[n] for n in competitors) / total if total else 0.0
            needs.append(share * self._free[one.model])
        return needs

    def _subtract(self, host: _StateValue) -> None:
        """Subtract a host from the sums."""
        self._supply = list(map(sub, self._supply, host.counts))
        for group in host.state.gpu_groups():
            self._free[group.model] -= group.free
            self._free[None] -= group.free

    def _state_value(self, state: HostState) -> _StateValue:
        cached = self._cache.get(state)
        if cached is None:
            if len(self._cache) > 2 * len(self._hosts) + _SPARE_STATES:
                self._cache = {host.state: host for host in self._hosts.values()}
            free = self._free_values(state)
            counts = usable_gpus_by_class(state, self._classes)
            cached = self._cache[state] = _StateValue(
                state,
                counts,
                [
                    _most_valuable(free, count) if value is None else count * value
                    for value, count in zip(self._class_values, counts, strict=True)
                ],
                sum(value * number for value, number in free),
            )
        return cached

    def _free_values(self, state: HostState) -> list[tuple[float, int]]:
        """Return pairs of the value of a GPU and the number of free ones, most valuable first."""
        return sorted(
            ((self._gpu_value(group.model), group.free) for group in state.gpu_groups()),
            reverse=True,
        )

    def _class_value(self, request_class: RequestClass) -> float | None:
        """Return the value of one GPU of the class; None if the class takes any model."""
        return None if request_class.model is None else self._gpu_value(request_class.model)

    def _put_class(self, request_class: RequestClass, index: int) -> None:
        """Set the class at an index of all vectors: a new last one, or in place of another."""
        self._classes[index] = request_class
        self._competitors = None
        gpu_value = self._class_values[index] = self._class_value(request_class)
        for state, cached in self._cache.items():
            count = usable_gpus(state, request_class)
            if gpu_value is None:
                value = _most_valuable(self._free_values(state), count)
            else:
                value = count * gpu_value
            cached.counts = (*cached.counts[:index], count, *cached.counts[index + 1 :])
            cached.values = (*cached.values[:index], value, *cached.values[index + 1 :])
        self._supply[index] = sum(host.counts[index] for host in self._hosts.values())


def _scarcity(need: float, supply: int) -> float:
    """Return how certainly a place will be missed, 0..1; 0 if there is no place to lose."""
    if supply <= 0:
        return 0.0
    scarcity: float = min(1.0, need / supply) ** SCARCITY_EXPONENT
    return max(LEAST_SCARCITY, scarcity)


def _most_valuable(free: Sequence[tuple[float, int]], count: int) -> float:
    """Return the value of the ``count`` most valuable free GPUs."""
    total = 0.0
    for value, number in free:
        if count <= number:
            return total + value * count
        total += value * number
        count -= number
    return total
