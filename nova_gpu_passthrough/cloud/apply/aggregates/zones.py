# SPDX-License-Identifier: Apache-2.0
"""Availability zones: what Nova would refuse for their sake.

A host is in the zone that its aggregates name. Nova takes no host into two zones, and none that has
servers from one to another (``AggregateAPI.is_safe_to_update_az`` and what follows it in
nova/compute/api.py).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from nova_gpu_passthrough.cloud.apply.aggregates.model import Found, Goal

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
