# SPDX-License-Identifier: Apache-2.0
"""What shall come of each aggregate: by the fleet file, and by what apply did before.

Other hosts and other keys of metadata are left alone. Nova cannot take an availability zone away
from an aggregate, only put another in its place.
"""

from collections.abc import Iterable, Iterator, Mapping

from nova_gpu_passthrough.cloud.apply.aggregates.model import ZONE, Found, Goal
from nova_gpu_passthrough.cloud.apply.change import Kind
from nova_gpu_passthrough.cloud.apply.entry import Entry, Key
from nova_gpu_passthrough.cloud.apply.model import ADOPTED, Held, Part
from nova_gpu_passthrough.fleet.desired import Aggregate


class Goals:
    """Makes them, and notes in the part what is held.

    :param found: the cloud's aggregates by name
    :param computes: hosts with nova-compute
    :param recorded: the record's entries, true to what is there
    """

    def __init__(
        self,
        found: Mapping[str, Found],
        computes: set[str],
        recorded: Mapping[Key, Entry],
        prune: bool,
        part: Part,
    ) -> None:
        self._found, self._computes, self._recorded = found, computes, recorded
        self._prune, self._part = prune, part

    def make(self, desired: Iterable[Aggregate]) -> Iterator[Goal]:
        """One for each aggregate with which apply has to do."""
        wanted = {aggregate.name: aggregate for aggregate in desired}
        for aggregate in wanted.values():
            yield self._wanted(aggregate)
        for entry in self._recorded.values():
            if entry.kind is Kind.AGGREGATE and entry.name not in wanted:
                one = self._found.get(entry.name)
                if one is not None:
                    yield self._left(one)

    def _wanted(self, wanted: Aggregate) -> Goal:
        one = self._found.get(wanted.name)
        there, metadata = (set(one.hosts), one.metadata) if one else (set(), {})
        for host in sorted(set(wanted.hosts) - there - self._computes):
            reason = f"there is no nova-compute on host {host} yet; run apply again once it is up"
            self._hold(wanted.name, reason)
        left = set()
        for host in sorted(there - set(wanted.hosts)):
            if self._prune or self._ours(Kind.AGGREGATE_HOST, wanted.name, host):
                left.add(host)
            else:
                reason = f"host {host} is in it and not in the fleet file"
                self._part.foreign(Kind.AGGREGATE, wanted.name, reason)
        zone = wanted.availability_zone
        if one and one.zone and not zone and self._ours(Kind.AGGREGATE_METADATA, one.name, ZONE):
            reason = (
                f"the fleet file names no availability zone any more, and Nova cannot take "
                f"{one.zone} away from an aggregate: delete it and run apply again"
            )
            self._hold(wanted.name, reason)
        return Goal(
            wanted.name,
            None if one and one.zone == zone else zone,
            frozenset(set(wanted.hosts) & self._computes - there),
            frozenset(left),
            frozenset(one.unknown if one else ()),
            {k: v for k, v in wanted.metadata.items() if k != ZONE and metadata.get(k) != v},
            self._without(wanted, metadata),
        )

    def _without(self, wanted: Aggregate, metadata: Mapping[str, str]) -> frozenset[str]:
        """Keys of metadata that the fleet file named, and names no more."""
        without = set()
        for key in metadata.keys() - wanted.metadata.keys():
            if Key(Kind.AGGREGATE_METADATA, wanted.name, key) not in self._recorded:
                continue
            if self._prune or self._ours(Kind.AGGREGATE_METADATA, wanted.name, key):
                without.add(key)
            else:
                self._part.foreign(Kind.AGGREGATE, wanted.name, f"metadata {key}: {ADOPTED}")
        return frozenset(without)

    def _left(self, one: Found) -> Goal:
        """An aggregate that the fleet file names no more."""
        hosts = frozenset(h for h in one.hosts if self._ours(Kind.AGGREGATE_HOST, one.name, h))
        ours, others = self._ours(Kind.AGGREGATE, one.name), sorted(set(one.hosts) - hosts)
        if self._prune or (ours and not others):
            return Goal(one.name, remove=frozenset(one.hosts), delete=True)
        if ours:
            reason = (
                f"not in the fleet file any more, but others put hosts into it: {', '.join(others)}"
            )
            self._part.foreign(Kind.AGGREGATE, one.name, reason)
            return Goal(one.name, remove=hosts)
        self._part.foreign(Kind.AGGREGATE, one.name, ADOPTED)
        keys = {k for k in one.metadata if self._ours(Kind.AGGREGATE_METADATA, one.name, k)}
        return Goal(one.name, remove=hosts, without=frozenset(keys))

    def _ours(self, kind: Kind, name: str, part: str = "") -> bool:
        entry = self._recorded.get(Key(kind, name, part))
        return entry is not None and entry.ours

    def _hold(self, name: str, reason: str) -> None:
        self._part.held.append(Held(Kind.AGGREGATE, name, reason))
