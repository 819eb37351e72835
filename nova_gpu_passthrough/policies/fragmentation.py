# SPDX-License-Identifier: Apache-2.0
"""Leave as many GPUs usable as possible, for the mix of servers that are asked for.

For a state ``s`` of a host and a class ``m`` of the mix, ``usable(s, m)`` is the number of GPUs
that further servers of ``m`` could use there: vCPUs, RAM, NUMA cells and link groups limit it as
the GPUs do. A placement's price is what it destroys of that, ::

    price = sum over m of w(m) x value x (usable(before, m) - usable(after, m))

and the cheapest host wins; of equally cheap ones that with the fewest free GPUs, then that with the
fewest free vCPUs: where all GPUs are taken, servers without GPUs fill one host after the other, and
leave others empty for larger ones. ``value`` is what the GPUs are worth, and the weights tell how
much each place for a server of a class will be missed::

    w(m) = gpus(m) x max(0.01, min(1, need(m) / supply(m))^5)

``supply`` is the sum of ``usable`` over all hosts as they are now. ``need`` is how many GPUs will
be asked for, until the free ones are used up, by servers of ``m`` and of all classes that demand at
least as much, and so take the same places: their share of the GPUs asked for, times the free GPUs.
While there are many more places than that, a lost one costs little; once they are as few, each is
a server refused, and no place can cost more than that. (So the newsvendor problem values a further
item: by the probability that it will be asked for.) But no place counts less than a hundredth of
that: where servers leave again, the free GPUs may never be used up, and yet large servers wait for
whole hosts. Exponent and least weight were chosen with two production traces (openb's default and
multigpu20), by GPUs left unallocated and by waits where servers come and go, and checked with a
third.

Expected loss over a mix of requests as such, with whole hosts instead of numbers of servers, and
each class weighed by how often it is asked for, is known as fragmentation gradient descent (FGD:
Weng et al., "Beware of Fragmentation", USENIX ATC 2023).

Without Nova the policy is driven like this::

    policy = Fragmentation(Mix({wanted: count, ...}))
    for name, state in states.items():
        policy.observe(name, canonical(state))
    for wanted in requests:
        offers = [
            (policy.key(states[name], after), name, after)
            for name in names
            for after in placements(states[name], wanted)
        ]
        if offers:
            _, name, after = min(offers)
            states[name] = after
            policy.observe(name, after)

Nothing but the states decides a price, so like hosts need to be priced once. What is hot can be
done with matrices: ``worths(state)`` is a vector over ``classes`` that depends on the state only,
``weights()`` changes as hosts do, and ``price`` is the product of the one's loss and the other.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from operator import mul, sub

from nova_gpu_passthrough.catalog import models
from nova_gpu_passthrough.packing.count_servers import usable, usable_by_class
from nova_gpu_passthrough.packing.host_state import HostState
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.policies import mix as mixes
from nova_gpu_passthrough.policies.base import HostPolicy, Offer, Settings
from nova_gpu_passthrough.policies.mix import Mix
from nova_gpu_passthrough.policies.pack import Pack
from nova_gpu_passthrough.topology.fit import DeviceChoice
from nova_gpu_passthrough.topology.model import GpuRequest, HostGpus

#: How steeply a class counts more when places for it get few.
SCARCITY_EXPONENT = 5
#: What a place counts of which there are plenty, beside one that will be missed.
LEAST_SCARCITY = 0.01
#: States that are remembered beyond those of the hosts, whose number may be as large.
_SPARE_STATES = 4096
#: Prices that differ by less are equal; it takes away what adding in another order makes.
DIGITS = 12


class _Usable:
    """What a state is good for, by class."""

    __slots__ = ("counts", "free", "state", "worths")

    def __init__(
        self, state: HostState, counts: Iterable[int], worths: Iterable[float], free: float
    ) -> None:
        self.state = state
        #: GPUs that servers of each class can use, and what these are worth. Python's collector of
        #: garbage leaves tuples of numbers alone.
        self.counts = tuple(counts)
        self.worths = tuple(worths)
        #: What all free GPUs are worth.
        self.free = free


class Fragmentation(HostPolicy):
    """The less usable capacity a placement destroys, the better.

    :param mix: what is asked for; without any, hosts are packed
    :param value: what a GPU of a model is worth (default: the catalogue's word)
    """

    def __init__(self, mix: Mix | None = None, value: Callable[[str], float] | None = None) -> None:
        self._value = value or (lambda model: models.value_of(model, {}))
        self._hosts: dict[str, _Usable] = {}
        self._pack = Pack()
        self._use(mix or Mix())

    def configure(self, settings: Settings) -> None:
        """Begin with the mix of a file, if there is one, and values of GPUs.

        :raises UserError: if the file is no mix file
        """
        values = dict(settings.gpu_values)
        self._value = lambda model: models.value_of(model, values)
        counts = mixes.load(settings.mix_file) if settings.mix_file else {}
        self._use(Mix(counts, settings.mix_half_life))

    def _use(self, mix: Mix) -> None:
        self._mix = mix
        self._classes = list(mix.counts)
        self._class_values = [self._class_value(wanted) for wanted in self._classes]
        self._known: dict[HostState, _Usable] = {}
        self._weights: list[float] | None = None
        self._demanding: list[list[int]] | None = None
        self._supply = [0] * len(self._classes)
        self._free: Counter[str | None] = Counter()
        hosts, self._hosts = self._hosts, {}
        for name, host in hosts.items():
            self.observe(name, host.state)

    @property
    def classes(self) -> Sequence[RequestClass]:
        """Classes of the mix, in the order of all vectors."""
        return self._classes

    @property
    def supply(self) -> Sequence[int]:
        """GPUs that servers of each class could use now, over all hosts."""
        return self._supply

    def observe(self, host: str, state: HostState) -> None:
        """Note what a host has left now, in canonical form; costs little if nothing changed."""
        old = self._hosts.get(host)
        if old is not None:
            if old.state == state:
                return
            self._leave_out(old)
        now = self._hosts[host] = self._usable(state)
        self._supply = [a + b for a, b in zip(self._supply, now.counts, strict=True)]
        for group in state.groups():
            self._free[group.model] += group.free
            self._free[None] += group.free
        self._weights = None

    def forget(self, host: str) -> None:
        """Count a host no longer."""
        old = self._hosts.pop(host, None)
        if old is not None:
            self._leave_out(old)
            self._weights = None

    def learn(self, wanted: RequestClass) -> None:
        """Note that a server of this class was asked for."""
        size = len(self._mix.counts)
        dropped = self._mix.note(wanted)
        self._weights = None
        if dropped is not None:
            self._put(wanted, self._classes.index(dropped))
        elif len(self._mix.counts) > size:
            self._classes.append(wanted)
            self._class_values.append(None)
            self._supply.append(0)
            self._put(wanted, size)

    def weights(self) -> list[float]:
        """How much each class counts, as hosts are now."""
        if self._weights is None:
            self._weights = [
                wanted.gpus * _scarcity(need, supply)
                for wanted, need, supply in zip(
                    self._classes, self._needs(), self._supply, strict=True
                )
            ]
        return self._weights

    def worths(self, state: HostState) -> Sequence[float]:
        """What the GPUs are worth that further servers of each class could use on such a host."""
        return self._usable(state).worths

    def price(self, before: HostState, after: HostState) -> float:
        """What a placement destroys, in worth of usable GPUs; both states in canonical form."""
        lost = map(sub, self._usable(before).worths, self._usable(after).worths)
        price: float = sum(map(mul, self.weights(), lost))
        return round(price, DIGITS)

    def key(self, before: HostState, after: HostState) -> tuple[float, float, int]:
        """By what hosts are compared, the smallest wins: price, then GPUs and vCPUs free there."""
        return self.price(before, after), self._usable(before).free, before.vcpus

    def rank(self, offers: Sequence[Offer]) -> list[float]:
        """1 for the best offers, 1/2 for the second best, 1/3 and so on.

        Prices have no natural scale, and what differs little may decide. So the best hosts are set
        apart clearly, however close their prices, and no sum of other weighers comes between them.
        Further down it does not matter. Quality goes before price.
        """
        memory: dict[tuple[HostState, HostState], tuple[float, float, int]] = {}
        keys = []
        for before, after, quality in offers:
            key = memory.get((before, after))
            if key is None:
                key = memory[before, after] = self.key(before, after)
            keys.append((-round(quality, DIGITS), *key))
        places = {key: place for place, key in enumerate(sorted(set(keys)))}
        return [1.0 / (1 + places[key]) for key in keys]

    def score(self, host: HostGpus, request: GpuRequest, choice: DeviceChoice) -> float:
        """Where the host is not known as a whole: that of ``pack``."""
        return self._pack.score(host, request, choice)

    def _needs(self) -> list[float]:
        """How many GPUs will be asked for by servers that demand at least as much as each class.

        That is until the free GPUs are used up: those of the model, for a class that wants one.
        """
        if self._demanding is None:
            self._demanding = [
                [n for n, other in enumerate(self._classes) if other.demands_at_least(wanted)]
                for wanted in self._classes
            ]
        counts = self._mix.counts
        demand = [counts[wanted] * wanted.gpus for wanted in self._classes]
        asked: dict[str | None, float] = {None: sum(demand)}
        for wanted, gpus in zip(self._classes, demand, strict=True):
            if wanted.model is not None:
                asked[wanted.model] = asked.get(wanted.model, 0.0) + gpus
        return [
            sum(demand[n] for n in others) / asked[wanted.model] * self._free[wanted.model]
            for wanted, others in zip(self._classes, self._demanding, strict=True)
        ]

    def _leave_out(self, host: _Usable) -> None:
        """Take a host out of the sums."""
        self._supply = list(map(sub, self._supply, host.counts))
        for group in host.state.groups():
            self._free[group.model] -= group.free
            self._free[None] -= group.free

    def _usable(self, state: HostState) -> _Usable:
        known = self._known.get(state)
        if known is None:
            if len(self._known) > 2 * len(self._hosts) + _SPARE_STATES:
                self._known = {host.state: host for host in self._hosts.values()}
            free = self._free_worths(state)
            counts = usable_by_class(state, self._classes)
            known = self._known[state] = _Usable(
                state,
                counts,
                [
                    _dearest(free, count) if value is None else count * value
                    for value, count in zip(self._class_values, counts, strict=True)
                ],
                sum(value * there for value, there in free),
            )
        return known

    def _free_worths(self, state: HostState) -> list[tuple[float, int]]:
        """What a GPU is worth and how many of these are free, the dearest first."""
        return sorted(
            ((self._value(group.model), group.free) for group in state.groups()), reverse=True
        )

    def _class_value(self, wanted: RequestClass) -> float | None:
        """What one of its GPUs is worth; None if the class takes any."""
        return None if wanted.model is None else self._value(wanted.model)

    def _put(self, wanted: RequestClass, index: int) -> None:
        """Give a class its place in all vectors, instead of another or behind the last one."""
        self._classes[index] = wanted
        self._demanding = None
        value = self._class_values[index] = self._class_value(wanted)
        for state, known in self._known.items():
            count = usable(state, wanted)
            worth = _dearest(self._free_worths(state), count) if value is None else count * value
            known.counts = (*known.counts[:index], count, *known.counts[index + 1 :])
            known.worths = (*known.worths[:index], worth, *known.worths[index + 1 :])
        self._supply[index] = sum(host.counts[index] for host in self._hosts.values())


def _scarcity(need: float, supply: int) -> float:
    """How sure it is that a place will be missed; 0 where there is none to lose."""
    if supply <= 0:
        return 0.0
    scarcity: float = min(1.0, need / supply) ** SCARCITY_EXPONENT
    return max(LEAST_SCARCITY, scarcity)


def _dearest(free: Sequence[tuple[float, int]], count: int) -> float:
    """What so many of the free GPUs are worth: a class that takes any may get the dearest."""
    worth = 0.0
    for value, there in free:
        if count <= there:
            return worth + value * count
        worth += value * there
        count -= there
    return worth
