# SPDX-License-Identifier: Apache-2.0
"""What is to be made, changed and deleted of host aggregates, and in which order.

Hosts that go to another zone leave their aggregates first; then aggregates get their zones, then
their hosts; other hosts leave last. So each step is one that Nova allows.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from nova_gpu_passthrough.cloud.apply.aggregates import goals as zones
from nova_gpu_passthrough.cloud.apply.aggregates import model
from nova_gpu_passthrough.cloud.apply.aggregates.goals import Goals
from nova_gpu_passthrough.cloud.apply.aggregates.model import Found, Goal, Target, document, read
from nova_gpu_passthrough.cloud.apply.api import Api
from nova_gpu_passthrough.cloud.apply.change import (
    Action,
    Change,
    Held,
    Key,
    Kind,
    Options,
    Part,
    complete,
    reconciled,
)
from nova_gpu_passthrough.fleet.desired import Aggregate

_KINDS = (Kind.AGGREGATE, Kind.AGGREGATE_HOST, Kind.AGGREGATE_METADATA)


def plan(api: Api, desired: Iterable[Aggregate], options: Options) -> Part:
    """Compare the cloud's aggregates with those desired."""
    part, wanted = Part(), list(desired)
    found = _with_unknown(api, read(api), wanted)
    services = api.nova("/os-services", binary="nova-compute")["services"]
    there: dict[Key, str | None] = {}
    for one in found.values():
        there |= one.keys
    entries = reconciled(options.known(*_KINDS), there, _keys(wanted))
    part.entries += (complete(entry) if entry.key in there else entry for entry in entries)
    recorded = {entry.key: entry for entry in part.entries}
    computes = {service["host"] for service in services}
    known: dict[str, bool] = {}

    def has_servers(host: str) -> bool:
        if host not in known:
            body = api.nova("/servers", all_tenants="1", host=host, limit="1")
            known[host] = bool(body["servers"])
        return known[host]

    def hold(name: str, reason: str) -> None:
        part.held.append(Held(Kind.AGGREGATE, name, reason))

    made = Goals(found, computes, recorded, options.prune, part).make(wanted)
    goals = zones.allowed(made, found, has_servers, hold)
    steps = _Steps()
    for goal in goals:
        if goal.name in found:
            steps.change(found[goal.name], goal, zones.leaving(goal, goals, found))
        else:
            steps.create(goal)
    part.changes += [*steps.leaving, *steps.zones, *steps.joining]
    part.deletions += steps.last
    return part


def _with_unknown(
    api: Api, found: Mapping[str, Found], wanted: Iterable[Aggregate]
) -> dict[str, Found]:
    """With the hosts of desired aggregates that Placement does not know to be in them."""
    told = dict(found)
    for aggregate in wanted:
        one = found.get(aggregate.name)
        if one is not None:
            hosts = set(one.hosts).intersection(aggregate.hosts)
            unknown = model.missing(api, one.uuid, hosts) if hosts else {}
            told[one.name] = replace(one, unknown=tuple(unknown))
    return told


def _keys(wanted: Iterable[Aggregate]) -> set[Key]:
    """What the record has to say of aggregates as they are desired."""
    keys: set[Key] = set()
    for one in wanted:
        keys |= Found("", one.name, one.availability_zone, one.hosts, one.metadata).keys.keys()
    return keys


@dataclass
class _Steps:
    """Changes by when they are made."""

    leaving: list[Change] = field(default_factory=list)
    zones: list[Change] = field(default_factory=list)
    joining: list[Change] = field(default_factory=list)
    last: list[Change] = field(default_factory=list)

    def create(self, goal: Goal) -> None:
        """Steps that make an aggregate."""
        target = Target(None, goal.zone, goal.metadata, add=tuple(sorted(goal.add)))
        made = document(goal.zone, target.add, goal.metadata)
        change = Change(Kind.AGGREGATE, goal.name, Action.CREATE, None, made, target)
        self.joining.append(change)

    def change(self, one: Found, goal: Goal, leaving: set[str]) -> None:
        """Steps that change or delete one that is there."""
        now = one
        if leaving:
            target = Target(one.id, remove=tuple(sorted(leaving)))
            now = _step(self.leaving, now, _hosts(now, set(now.hosts) - leaving), target)
        if goal.zone:
            target = Target(one.id, goal.zone)
            now = _step(self.zones, now, replace(now, zone=goal.zone), target)
        if goal.metadata or goal.without or goal.add or goal.tell:
            kept = {k: v for k, v in one.metadata.items() if k not in goal.without}
            after = _hosts(now, {*now.hosts, *goal.add})
            after = replace(after, metadata={**kept, **goal.metadata}, unknown=())
            without, add = tuple(sorted(goal.without)), tuple(sorted(goal.add))
            tell = tuple(sorted(goal.tell))
            target = Target(one.id, None, goal.metadata, without, add, tell=tell)
            now = _step(self.joining, now, after, target)
        late = tuple(sorted(goal.remove - leaving))
        target = Target(one.id, remove=late)
        if goal.delete:
            documents = now.document, None
            self.last.append(Change(Kind.AGGREGATE, goal.name, Action.DELETE, *documents, target))
        elif late:
            _step(self.last, now, _hosts(now, set(now.hosts) - set(late)), target)


def _hosts(one: Found, hosts: set[str]) -> Found:
    return replace(one, hosts=tuple(sorted(hosts)))


def _step(steps: list[Change], before: Found, after: Found, target: Target) -> Found:
    documents = before.document, after.document
    steps.append(Change(Kind.AGGREGATE, before.name, Action.UPDATE, *documents, target))
    return after
