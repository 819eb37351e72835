# SPDX-License-Identifier: Apache-2.0
"""What shall come of each aggregate: by the fleet file, and by what apply did before.

Other hosts and other keys of metadata are left alone. Nova cannot take an availability zone away
from an aggregate, only put another in its place.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from nova_gpu_passthrough.cloud.apply.aggregates.model import ZONE, Found, Goal
from nova_gpu_passthrough.cloud.apply.change import ADOPTED, Entry, Held, Key, Kind, Part
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


#: Whether a host has servers; asked only where it matters.
HasServers = Callable[[str], bool]


def allowed(
    goals: Iterable[Goal],
    found: Mapping[str, Found],
    has_servers: HasServers,
    hold: Callable[[str, str], None],
) -> list[Goal]:
    """Goals less what Nova would refuse, which is told with the aggregate's name and the reason."""
    left = list(goals)
    while True:
        # What is given up may stand in the way of something else.
        zones = dict(_zones(left, found, has_servers))
        hosts = {} if zones else dict(_hosts(left, found, has_servers))
        if not zones and not hosts:
            return left
        for name, reason in zones.items():
            hold(name, reason)
        for goal in left:
            for host in sorted((goal.add | goal.remove) & hosts.keys()):
                hold(goal.name, hosts[host])
        left = [_without(goal, goal.name in zones, hosts.keys()) for goal in left]


def leaving(goal: Goal, goals: Iterable[Goal], found: Mapping[str, Found]) -> set[str]:
    """Hosts that must leave an aggregate before others take them to another zone."""
    zone = goal.zone_after(found.get(goal.name))
    return {
        host
        for other in goals
        if zone and other.zone_after(found.get(other.name)) not in (None, zone)
        for host in goal.remove & other.hosts_after(found.get(other.name))
    }


def _zones(
    goals: list[Goal], found: Mapping[str, Found], has_servers: HasServers
) -> Iterator[tuple[str, str]]:
    """Aggregates that cannot get another zone, and why."""
    gone = {goal.name: leaving(goal, goals, found) for goal in goals}
    coming = {goal.name: goal.zone for goal in goals}
    members = {name: set(one.hosts) - gone.get(name, set()) for name, one in found.items()}
    for goal in goals:
        if goal.zone is None or goal.name not in found:
            continue
        hosts = members[goal.name]
        others = {
            zone
            for name, one in found.items()
            if name != goal.name and hosts & members[name]
            for zone in (one.zone, coming.get(name))
            if zone not in (None, goal.zone)
        }
        busy = sorted(filter(has_servers, hosts))
        if others:
            reason = (
                f"its availability zone does not become {goal.zone}: other aggregates have its "
                f"hosts in {' and '.join(sorted(others))}"
            )
            yield goal.name, reason
        elif busy:
            reason = (
                f"Nova does not change the availability zone to {goal.zone} while hosts in it have "
                f"servers ({', '.join(busy)}); run apply again once they have none"
            )
            yield goal.name, reason


def _hosts(
    goals: list[Goal], found: Mapping[str, Found], has_servers: HasServers
) -> Iterator[tuple[str, str]]:
    """Hosts whose aggregates cannot be changed, and why."""
    before = [(one.zone, set(one.hosts)) for one in found.values()]
    changed = {goal.name for goal in goals}
    after = [(one.zone, set(one.hosts)) for name, one in found.items() if name not in changed]
    for goal in goals:
        one = found.get(goal.name)
        after.append((goal.zone_after(one), goal.hosts_after(one)))
    for host in sorted({host for goal in goals for host in goal.add | goal.remove}):
        old, new = _of(host, before), _of(host, after)
        if len(new) > 1:
            both = " and ".join(sorted(new))
            reason = f"host {host} would be in the availability zones {both}: take it out of one"
            yield host, reason
        elif old != new and has_servers(host):
            reason = (
                f"host {host} has servers and would go from availability zone {_name(old)} to "
                f"{_name(new)}, which Nova does not allow: move the servers away first"
            )
            yield host, reason


def _of(host: str, aggregates: Iterable[tuple[str | None, set[str]]]) -> set[str]:
    """The zones that a host's aggregates name."""
    return {zone for zone, hosts in aggregates if zone and host in hosts}


def _without(goal: Goal, zone: bool, hosts: Iterable[str]) -> Goal:
    return replace(
        goal,
        zone=None if zone else goal.zone,
        add=goal.add - set(hosts),
        remove=goal.remove - set(hosts),
        delete=goal.delete and not goal.remove & set(hosts),
    )


def _name(zones: set[str]) -> str:
    return " and ".join(sorted(zones)) or "none"
