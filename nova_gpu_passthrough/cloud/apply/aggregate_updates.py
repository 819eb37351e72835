# SPDX-License-Identifier: Apache-2.0
"""Work out what must change on each host aggregate, less what Nova would refuse.

Hosts and metadata that apply did not add are left alone. Nova cannot remove the availability zone
of an aggregate, only replace it; it moves no host with servers to another availability zone, and
puts no host into two.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from nova_gpu_passthrough.cloud.apply import aggregate_projects
from nova_gpu_passthrough.cloud.apply.change import Document, ResourceKind
from nova_gpu_passthrough.cloud.apply.plan import ADOPTED, PlanPart
from nova_gpu_passthrough.cloud.apply.record import RecordEntry, RecordKey
from nova_gpu_passthrough.fleet.desired_state import Aggregate
from nova_gpu_passthrough.nova_rules.filters.aggregate_filters import is_tenant_key

#: The metadata key in which Nova keeps the zone of an aggregate.
ZONE = "availability_zone"


@dataclass(frozen=True)
class CloudAggregate:
    """A host aggregate of the cloud."""

    id: str
    name: str
    zone: str | None
    hosts: tuple[str, ...]
    #: Without the zone.
    metadata: Mapping[str, str]
    #: The UUID by which Placement knows it.
    uuid: str = ""
    #: Member hosts whose resource providers are not in Placement's aggregate.
    not_in_placement: tuple[str, ...] = ()

    def document(self, project_name: Callable[[str], str]) -> Document:
        """Return the aggregate as a diff shows it; see `aggregate_projects.document`."""
        zone_item = {ZONE: self.zone} if self.zone else {}
        unknown = [*self.not_in_placement]
        return {
            **aggregate_projects.document(zone_item, self.hosts, self.metadata, project_name),
            **({"hosts_unknown_to_placement": unknown} if unknown else {}),
        }

    @property
    def keys(self) -> dict[RecordKey, str | None]:
        """The record's keys for the aggregate, its hosts and metadata, with ids."""
        keys: dict[RecordKey, str | None] = {RecordKey(ResourceKind.AGGREGATE, self.name): self.id}
        keys |= {
            RecordKey(ResourceKind.AGGREGATE_HOST, self.name, host): None for host in self.hosts
        }
        return keys | {
            RecordKey(ResourceKind.AGGREGATE_METADATA, self.name, key): None
            for key in (*self.metadata, *((ZONE,) if self.zone else ()))
        }


@dataclass(frozen=True)
class AggregateUpdate:
    """What must change on one aggregate."""

    name: str
    #: The new zone; None: it keeps the zone that it has, if any.
    zone: str | None = None
    add_hosts: frozenset[str] = frozenset()
    remove_hosts: frozenset[str] = frozenset()
    #: Member hosts whose resource providers must be added to Placement's aggregate.
    add_providers: frozenset[str] = frozenset()
    #: Metadata to set.
    metadata: Mapping[str, str] = field(default_factory=dict)
    #: Keys of metadata to remove.
    remove_metadata: frozenset[str] = frozenset()
    delete: bool = False

    def zone_after(self, current: CloudAggregate | None) -> str | None:
        """Return the zone after the update."""
        return self.zone or (current.zone if current else None)

    def hosts_after(self, current: CloudAggregate | None) -> set[str]:
        """Return the hosts after the update."""
        return (set(current.hosts if current else ()) | self.add_hosts) - self.remove_hosts

    def hosts_with_zone(self, current: CloudAggregate | None) -> set[str]:
        """Return the hosts in it after the update, and those that leave after it got a new zone."""
        leaving = set(current.hosts) if current and self.zone else set()
        return self.hosts_after(current) | leaving


class AggregateComparison:
    """Compares aggregates with those desired, and notes skipped changes in a part of the plan.

    :param existing: the cloud's aggregates by name
    :param compute_hosts: hosts with nova-compute
    :param recorded: the record's entries, reconciled with the cloud
    :param prune: remove also what apply did not add
    """

    def __init__(
        self,
        existing: Mapping[str, CloudAggregate],
        compute_hosts: set[str],
        recorded: Mapping[RecordKey, RecordEntry],
        prune: bool,
        part: PlanPart,
    ) -> None:
        self._existing, self._compute_hosts, self._recorded = existing, compute_hosts, recorded
        self._prune, self._part = prune, part

    def updates(self, desired: Iterable[Aggregate]) -> Iterator[AggregateUpdate]:
        """Yield the update of each aggregate that is desired or recorded; it may be empty."""
        desired_by_name = {aggregate.name: aggregate for aggregate in desired}
        for aggregate in desired_by_name.values():
            yield self._compare(aggregate)
        for entry in self._recorded.values():
            if entry.kind is ResourceKind.AGGREGATE and entry.name not in desired_by_name:
                current = self._existing.get(entry.name)
                if current is not None:
                    yield self._remove(current)

    def _compare(self, desired: Aggregate) -> AggregateUpdate:
        current = self._existing.get(desired.name)
        hosts, metadata = (set(current.hosts), current.metadata) if current else (set(), {})
        absent = set(desired.hosts) - hosts - self._compute_hosts
        if absent:
            reason = (
                f"there is no nova-compute on {_hosts(absent)} yet; run apply again once "
                f"{'it is' if len(absent) == 1 else 'they are'} up"
            )
            self._skip(desired.name, reason)
        foreign = {
            host
            for host in hosts - set(desired.hosts)
            if not (self._prune or self._deletable(ResourceKind.AGGREGATE_HOST, desired.name, host))
        }
        if foreign:
            verb = "is" if len(foreign) == 1 else "are"
            reason = f"{_hosts(foreign)} {verb} in it and not in the fleet file"
            self._part.skip_foreign(ResourceKind.AGGREGATE, desired.name, reason)
        removed = hosts - set(desired.hosts) - foreign
        zone = desired.availability_zone
        if (
            current
            and current.zone
            and not zone
            and self._deletable(ResourceKind.AGGREGATE_METADATA, current.name, ZONE)
        ):
            reason = (
                f"the fleet file names no availability zone any more, and Nova cannot remove "
                f"{current.zone} from an aggregate: delete the aggregate and run apply again"
            )
            self._skip(desired.name, reason)
        return AggregateUpdate(
            desired.name,
            None if current and current.zone == zone else zone,
            frozenset(set(desired.hosts) & self._compute_hosts - hosts),
            frozenset(removed),
            frozenset(current.not_in_placement if current else ()),
            {k: v for k, v in desired.metadata.items() if k != ZONE and metadata.get(k) != v},
            self._removed_metadata(desired, metadata),
        )

    def _removed_metadata(self, desired: Aggregate, metadata: Mapping[str, str]) -> frozenset[str]:
        """Return the keys of metadata that the fleet file named once, and no longer names.

        If it names projects, they are exactly those that may use the hosts.
        """
        removed = set()
        for key in metadata.keys() - desired.metadata.keys():
            if desired.projects is not None and is_tenant_key(key):
                removed.add(key)
                continue
            if RecordKey(ResourceKind.AGGREGATE_METADATA, desired.name, key) not in self._recorded:
                continue
            if self._prune or self._deletable(ResourceKind.AGGREGATE_METADATA, desired.name, key):
                removed.add(key)
            else:
                reason = f"metadata {key}: {ADOPTED}"
                self._part.skip_foreign(ResourceKind.AGGREGATE, desired.name, reason)
        return frozenset(removed)

    def _remove(self, current: CloudAggregate) -> AggregateUpdate:
        """Return the update of an aggregate that the fleet file no longer names."""
        name = current.name
        hosts = frozenset(
            host
            for host in current.hosts
            if self._deletable(ResourceKind.AGGREGATE_HOST, name, host)
        )
        deletable = self._deletable(ResourceKind.AGGREGATE, name)
        other_hosts = sorted(set(current.hosts) - hosts)
        if self._prune or (deletable and not other_hosts):
            return AggregateUpdate(name, remove_hosts=frozenset(current.hosts), delete=True)
        if deletable:
            reason = (
                "not in the fleet file any more, but it has hosts that apply did not add: "
                f"{', '.join(other_hosts)}"
            )
            self._part.skip_foreign(ResourceKind.AGGREGATE, name, reason)
            return AggregateUpdate(name, remove_hosts=hosts)
        self._part.skip_foreign(ResourceKind.AGGREGATE, name, ADOPTED)
        keys = {
            key
            for key in current.metadata
            if self._deletable(ResourceKind.AGGREGATE_METADATA, name, key)
        }
        return AggregateUpdate(name, remove_hosts=hosts, remove_metadata=frozenset(keys))

    def _deletable(self, kind: ResourceKind, name: str, part: str = "") -> bool:
        entry = self._recorded.get(RecordKey(kind, name, part))
        return entry is not None and entry.deletable

    def _skip(self, name: str, reason: str) -> None:
        self._part.skip(ResourceKind.AGGREGATE, name, reason)


#: Checks whether a host has servers; called only if it matters.
HasServers = Callable[[str], bool]


def without_refused(
    updates: Iterable[AggregateUpdate],
    existing: Mapping[str, CloudAggregate],
    has_servers: HasServers,
    skip: Callable[[str, str], None],
) -> list[AggregateUpdate]:
    """Return the updates without those zones and hosts that Nova would refuse to change.

    :param skip: gets the aggregate's name and the reason for each change that is left out
    """
    allowed = list(updates)
    while True:
        # Leaving out one change may make another one impossible.
        zones = dict(_refused_zones(allowed, existing, has_servers))
        hosts = {} if zones else dict(_refused_hosts(allowed, existing, has_servers))
        if not zones and not hosts:
            return allowed
        for name, reason in zones.items():
            skip(name, reason)
        for update in allowed:
            for host in sorted((update.add_hosts | update.remove_hosts) & hosts.keys()):
                skip(update.name, hosts[host])
        allowed = [_reduce(update, update.name in zones, hosts.keys()) for update in allowed]


def hosts_to_free(
    update: AggregateUpdate,
    updates: Iterable[AggregateUpdate],
    existing: Mapping[str, CloudAggregate],
) -> set[str]:
    """Return the hosts that must leave an aggregate before others take them to another zone."""
    zone = update.zone_after(existing.get(update.name))
    return {
        host
        for other in updates
        if zone and other.zone_after(existing.get(other.name)) not in (None, zone)
        for host in update.remove_hosts & other.hosts_with_zone(existing.get(other.name))
    }


def _refused_zones(
    updates: list[AggregateUpdate],
    existing: Mapping[str, CloudAggregate],
    has_servers: HasServers,
) -> Iterator[tuple[str, str]]:
    """Yield aggregates whose zone Nova would not change, and why."""
    freed = {update.name: hosts_to_free(update, updates, existing) for update in updates}
    new_zones = {update.name: update.zone for update in updates}
    members = {name: set(one.hosts) - freed.get(name, set()) for name, one in existing.items()}
    for update in updates:
        if update.zone is None or update.name not in existing:
            continue
        hosts = members[update.name]
        other_zones = {
            zone
            for name, one in existing.items()
            if name != update.name and hosts & members[name]
            for zone in (one.zone, new_zones.get(name))
            if zone not in (None, update.zone)
        }
        busy = sorted(filter(has_servers, hosts))
        if other_zones:
            reason = (
                f"its availability zone cannot become {update.zone}: other aggregates put its "
                f"hosts into {' and '.join(sorted(other_zones))}"
            )
            yield update.name, reason
        elif busy:
            reason = (
                f"Nova does not change the availability zone to {update.zone} while hosts in it "
                f"have servers ({', '.join(busy)}); run apply again once they have none"
            )
            yield update.name, reason


def _refused_hosts(
    updates: list[AggregateUpdate],
    existing: Mapping[str, CloudAggregate],
    has_servers: HasServers,
) -> Iterator[tuple[str, str]]:
    """Yield hosts that Nova would not add or remove, and why."""
    before = [(one.zone, set(one.hosts)) for one in existing.values()]
    updated = {update.name for update in updates}
    after = [(one.zone, set(one.hosts)) for name, one in existing.items() if name not in updated]
    for update in updates:
        current = existing.get(update.name)
        after.append((update.zone_after(current), update.hosts_after(current)))
    changed_hosts = {host for update in updates for host in update.add_hosts | update.remove_hosts}
    for host in sorted(changed_hosts):
        old, new = _zones_of(host, before), _zones_of(host, after)
        if len(new) > 1:
            both = " and ".join(sorted(new))
            reason = f"host {host} would be in the availability zones {both}: remove it from one"
            yield host, reason
        elif old != new and has_servers(host):
            reason = (
                f"host {host} has servers and would move from availability zone {_join(old)} to "
                f"{_join(new)}, which Nova does not allow: move the servers to other hosts first"
            )
            yield host, reason


def _zones_of(host: str, aggregates: Iterable[tuple[str | None, set[str]]]) -> set[str]:
    """Return the zones of the aggregates that a host is in."""
    return {zone for zone, hosts in aggregates if zone and host in hosts}


def _reduce(
    update: AggregateUpdate, without_zone: bool, without_hosts: Iterable[str]
) -> AggregateUpdate:
    hosts = set(without_hosts)
    return replace(
        update,
        zone=None if without_zone else update.zone,
        add_hosts=update.add_hosts - hosts,
        remove_hosts=update.remove_hosts - hosts,
        delete=update.delete and not update.remove_hosts & hosts,
    )


def _hosts(names: Iterable[str]) -> str:
    """Return hosts with the noun: ``hosts gpu01, gpu02``."""
    found = sorted(names)
    return f"{'hosts' if len(found) > 1 else 'host'} {', '.join(found)}"


def _join(zones: set[str]) -> str:
    return " and ".join(sorted(zones)) or "none"
