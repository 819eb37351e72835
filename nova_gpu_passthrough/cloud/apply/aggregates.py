# SPDX-License-Identifier: Apache-2.0
"""Host aggregates: plan and make changes.

The order of the changes is one that Nova allows: hosts that move to another zone leave their
aggregates first; then aggregates get their zones, then their hosts; other hosts leave last.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from openstack import exceptions

from nova_gpu_passthrough.cloud.apply import aggregate_projects
from nova_gpu_passthrough.cloud.apply.aggregate_updates import (
    ZONE,
    AggregateComparison,
    AggregateUpdate,
    CloudAggregate,
    hosts_to_free,
    without_refused,
)
from nova_gpu_passthrough.cloud.apply.change import Action, Change, ResourceKind
from nova_gpu_passthrough.cloud.apply.plan import PlanOptions, PlanPart
from nova_gpu_passthrough.cloud.apply.projects import Projects
from nova_gpu_passthrough.cloud.apply.record import (
    Ledger,
    RecordEntry,
    RecordKey,
    mark_complete,
    reconcile_entries,
)
from nova_gpu_passthrough.cloud.apply.writer import CloudWriter, RequestRefused
from nova_gpu_passthrough.cloud.view.reader import is_not_found
from nova_gpu_passthrough.fleet.desired_state import Aggregate

_KINDS = (
    ResourceKind.AGGREGATE,
    ResourceKind.AGGREGATE_HOST,
    ResourceKind.AGGREGATE_METADATA,
)
#: Attempts to add a provider: nova-compute updates providers, too.
_ATTEMPTS = 4


@dataclass(frozen=True)
class AggregateStep:
    """One step of an aggregate's update; None or empty: nothing to do."""

    #: None: create it.
    id: str | None
    zone: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    remove_metadata: tuple[str, ...] = ()
    add_hosts: tuple[str, ...] = ()
    remove_hosts: tuple[str, ...] = ()
    #: Member hosts whose resource providers to add to Placement's aggregate.
    add_providers: tuple[str, ...] = ()


def plan(
    api: CloudWriter, projects: Projects, desired: Iterable[Aggregate], options: PlanOptions
) -> PlanPart:
    """Compare the cloud's aggregates with those desired."""
    part = PlanPart()

    def skip(name: str, reason: str) -> None:
        part.skip(ResourceKind.AGGREGATE, name, reason)

    existing = read(api)
    desired = [
        aggregate_projects.resolve(
            one,
            existing[one.name].metadata if one.name in existing else {},
            projects,
            functools.partial(skip, one.name),
        )
        for one in desired
    ]
    existing = _with_placement_members(api, existing, desired)
    services = api.nova("/os-services", binary="nova-compute")["services"]
    existing_keys: dict[RecordKey, str | None] = {}
    for aggregate in existing.values():
        existing_keys |= aggregate.keys
    part.entries += (
        mark_complete(entry) if entry.key in existing_keys else entry
        for entry in reconcile_entries(
            options.recorded(*_KINDS), existing_keys, _desired_keys(desired)
        )
    )
    recorded = {entry.key: entry for entry in part.entries}
    compute_hosts = {service["host"] for service in services}
    hosts_with_servers: dict[str, bool] = {}

    def has_servers(host: str) -> bool:
        if host not in hosts_with_servers:
            body = api.nova("/servers", all_tenants="1", host=host, limit="1")
            hosts_with_servers[host] = bool(body["servers"])
        return hosts_with_servers[host]

    comparison = AggregateComparison(existing, compute_hosts, recorded, options.prune, part)
    updates = without_refused(comparison.updates(desired), existing, has_servers, skip)
    steps = _OrderedSteps(projects.name)
    for update in updates:
        if update.name in existing:
            freed = hosts_to_free(update, updates, existing)
            steps.update(existing[update.name], update, freed)
        else:
            steps.create(update)
    part.changes += [*steps.freeing, *steps.zones, *steps.joining]
    part.deletions += steps.last
    return part


def read(api: CloudWriter) -> dict[str, CloudAggregate]:
    """Read all aggregates of the cloud; return them by name."""
    aggregates = {}
    for one in api.nova("/os-aggregates")["aggregates"]:
        metadata = {key: value for key, value in sorted(one["metadata"].items()) if key != ZONE}
        zone, hosts = one["availability_zone"], tuple(sorted(one["hosts"]))
        aggregates[one["name"]] = CloudAggregate(
            str(one["id"]), one["name"], zone, hosts, metadata, one["uuid"]
        )
    return dict(sorted(aggregates.items()))


def _with_placement_members(
    api: CloudWriter, existing: Mapping[str, CloudAggregate], desired: Iterable[Aggregate]
) -> dict[str, CloudAggregate]:
    """Return the aggregates, with the desired hosts that Placement's aggregates lack."""
    aggregates = dict(existing)
    for aggregate in desired:
        current = existing.get(aggregate.name)
        if current is not None:
            hosts = set(current.hosts).intersection(aggregate.hosts)
            missing = missing_providers(api, current.uuid, hosts) if hosts else {}
            aggregates[current.name] = replace(current, not_in_placement=tuple(missing))
    return aggregates


def _desired_keys(desired: Iterable[Aggregate]) -> set[RecordKey]:
    """Return the record's keys of desired aggregates, their hosts and metadata."""
    keys: set[RecordKey] = set()
    for one in desired:
        zone, hosts = one.availability_zone, one.hosts
        keys |= CloudAggregate("", one.name, zone, hosts, one.metadata).keys.keys()
    return keys


@dataclass
class _OrderedSteps:
    """Changes of aggregates, grouped by when they are made."""

    #: Returns the name of a project's id.
    project_name: Callable[[str], str]
    freeing: list[Change] = field(default_factory=list)
    zones: list[Change] = field(default_factory=list)
    joining: list[Change] = field(default_factory=list)
    last: list[Change] = field(default_factory=list)

    def create(self, update: AggregateUpdate) -> None:
        """Add the step that creates an aggregate."""
        hosts = tuple(sorted(update.add_hosts))
        step = AggregateStep(None, update.zone, update.metadata, add_hosts=hosts)
        created = CloudAggregate("", update.name, update.zone, hosts, update.metadata)
        after = created.document(self.project_name)
        self.joining.append(
            Change(ResourceKind.AGGREGATE, update.name, Action.CREATE, None, after, step)
        )

    def update(self, current: CloudAggregate, update: AggregateUpdate, freed: set[str]) -> None:
        """Add the steps that change or delete an existing aggregate.

        :param freed: hosts that must leave before others take them to another zone
        """
        state = current
        if freed:
            step = AggregateStep(current.id, remove_hosts=tuple(sorted(freed)))
            after = _with_hosts(state, set(state.hosts) - freed)
            state = self._append(self.freeing, state, after, step)
        if update.zone:
            step = AggregateStep(current.id, update.zone)
            state = self._append(self.zones, state, replace(state, zone=update.zone), step)
        if update.metadata or update.remove_metadata or update.add_hosts or update.add_providers:
            kept = {k: v for k, v in current.metadata.items() if k not in update.remove_metadata}
            after = _with_hosts(state, {*state.hosts, *update.add_hosts})
            after = replace(after, metadata={**kept, **update.metadata}, not_in_placement=())
            step = AggregateStep(
                current.id,
                metadata=update.metadata,
                remove_metadata=tuple(sorted(update.remove_metadata)),
                add_hosts=tuple(sorted(update.add_hosts)),
                add_providers=tuple(sorted(update.add_providers)),
            )
            state = self._append(self.joining, state, after, step)
        leaving = tuple(sorted(update.remove_hosts - freed))
        step = AggregateStep(current.id, remove_hosts=leaving)
        if update.delete:
            before = state.document(self.project_name)
            change = Change(ResourceKind.AGGREGATE, update.name, Action.DELETE, before, None, step)
            self.last.append(change)
        elif leaving:
            self._append(
                self.last, state, _with_hosts(state, set(state.hosts) - set(leaving)), step
            )

    def _append(
        self,
        changes: list[Change],
        before: CloudAggregate,
        after: CloudAggregate,
        step: AggregateStep,
    ) -> CloudAggregate:
        """Append an update to changes; return the aggregate after it."""
        old, new = (one.document(self.project_name) for one in (before, after))
        kind = ResourceKind.AGGREGATE
        changes.append(Change(kind, before.name, Action.UPDATE, old, new, step))
        return after


def _with_hosts(aggregate: CloudAggregate, hosts: set[str]) -> CloudAggregate:
    return replace(aggregate, hosts=tuple(sorted(hosts)))


def perform(api: CloudWriter, ledger: Ledger, change: Change) -> None:
    """Make one change, whatever state the aggregate is in.

    If Nova refuses one host, the other hosts are added all the same.

    :raises RequestRefused: if Nova or Placement refuses
    """
    step: AggregateStep = change.target
    if change.action is Action.CREATE:
        _create(api, ledger, change.name, step.zone)
    aggregate = read(api).get(change.name)
    if aggregate is None or step.id not in (None, aggregate.id):
        # Someone deleted it. If it is desired, the next run creates it again.
        if change.action is Action.DELETE:
            ledger.remove(*_recorded_keys(ledger, change.name))
        return
    _set_zone(api, ledger, aggregate, step.zone)
    _set_metadata(api, ledger, aggregate, step)
    _add_hosts(api, ledger, aggregate, step.add_hosts)
    hosts = {*step.add_hosts, *step.add_providers}
    if hosts:
        for provider in missing_providers(api, aggregate.uuid, hosts).values():
            add_provider(api, aggregate.uuid, provider)
    for host in set(step.remove_hosts) & set(aggregate.hosts):
        _send_action(api, aggregate, "remove_host", {"host": host}, ignored_status=404)
        ledger.remove(RecordKey(ResourceKind.AGGREGATE_HOST, aggregate.name, host))
    if change.action is Action.DELETE:
        try:
            api.send("compute", "DELETE", f"/os-aggregates/{aggregate.id}")
        except RequestRefused as refusal:
            if refusal.status != 404:
                raise
        ledger.remove(*_recorded_keys(ledger, aggregate.name))


def _create(api: CloudWriter, ledger: Ledger, name: str, zone: str | None) -> None:
    entry = RecordEntry(ResourceKind.AGGREGATE, name)
    zone_entries = [RecordEntry(ResourceKind.AGGREGATE_METADATA, name, ZONE)] if zone else []
    ledger.mark_pending(entry, *zone_entries)
    try:
        body = {"aggregate": {"name": name, "availability_zone": zone}}
        response = api.send("compute", "POST", "/os-aggregates", body)
    except RequestRefused as refusal:
        existing = read(api).get(name) if refusal.status == 409 else None
        if existing is not None and refusal.retried:
            ledger.mark_created(replace(entry, id=existing.id), *zone_entries)
            return
        ledger.remove(entry.key, *(one.key for one in zone_entries))
        if existing is None:
            raise
        ledger.mark_adopted(replace(entry, id=existing.id))
        return
    aggregate_id = str(response.body["aggregate"]["id"])
    ledger.mark_created(replace(entry, id=aggregate_id), *zone_entries)


def _set_zone(
    api: CloudWriter, ledger: Ledger, aggregate: CloudAggregate, zone: str | None
) -> None:
    if zone and aggregate.zone != zone:
        body = {"aggregate": {ZONE: zone}}
        api.send("compute", "PUT", f"/os-aggregates/{aggregate.id}", body)
        ledger.mark_created(RecordEntry(ResourceKind.AGGREGATE_METADATA, aggregate.name, ZONE))


def _set_metadata(
    api: CloudWriter, ledger: Ledger, aggregate: CloudAggregate, step: AggregateStep
) -> None:
    kind = ResourceKind.AGGREGATE_METADATA
    values = {
        key: value for key, value in step.metadata.items() if aggregate.metadata.get(key) != value
    }
    entries = [RecordEntry(kind, aggregate.name, key) for key in values]
    removed = [key for key in step.remove_metadata if key in aggregate.metadata]
    if values:
        ledger.mark_pending(*entries)
        _send_action(api, aggregate, "set_metadata", {"metadata": values})
        ledger.mark_created(*entries)
    if removed:
        # Not in the same request, in which Nova removes first: hosts of some projects would be
        # open to every project for a moment.
        _send_action(api, aggregate, "set_metadata", {"metadata": dict.fromkeys(removed)})
    ledger.remove(*(RecordKey(kind, aggregate.name, key) for key in step.remove_metadata))


def _add_hosts(
    api: CloudWriter, ledger: Ledger, aggregate: CloudAggregate, hosts: tuple[str, ...]
) -> None:
    """Add hosts to an aggregate; raise the first refusal after trying all of them."""
    entries = {
        host: RecordEntry(ResourceKind.AGGREGATE_HOST, aggregate.name, host)
        for host in hosts
        if host not in aggregate.hosts
    }
    ledger.mark_pending(*entries.values())
    refusals: list[RequestRefused] = []
    for host, entry in entries.items():
        try:
            _send_action(api, aggregate, "add_host", {"host": host})
        except RequestRefused as refusal:
            current = read(api).get(aggregate.name) if refusal.status == 409 else None
            if current is None or host not in current.hosts:
                ledger.remove(entry.key)
                refusals.append(refusal)
                continue
            if not refusal.retried:
                ledger.mark_adopted(entry)
                continue
        ledger.mark_created(entry)
    if refusals:
        raise refusals[0]


def _send_action(
    api: CloudWriter,
    aggregate: CloudAggregate,
    action: str,
    body: dict[str, object],
    ignored_status: int | None = None,
) -> None:
    try:
        api.send("compute", "POST", f"/os-aggregates/{aggregate.id}/action", {action: body})
    except RequestRefused as refusal:
        if refusal.status != ignored_status:
            raise


def _recorded_keys(ledger: Ledger, name: str) -> list[RecordKey]:
    """Return the keys of all entries about an aggregate."""
    return [e.key for e in ledger.record.entries if e.kind in _KINDS and e.name == name]


def missing_providers(api: CloudWriter, aggregate: str, hosts: Iterable[str]) -> dict[str, str]:
    """Return the resource providers, by host, that are not in Placement's aggregate.

    :param aggregate: its UUID
    """
    providers = api.placement("/resource_providers", member_of=aggregate)["resource_providers"]
    members = {provider[key] for provider in providers for key in ("name", "uuid")}
    missing = {}
    for host in sorted(set(hosts) - members):
        uuid = _provider_uuid(api, host)
        if uuid and uuid not in members:
            missing[host] = uuid
    return missing


def add_provider(api: CloudWriter, aggregate: str, provider: str) -> None:
    """Add a resource provider to Placement's aggregate.

    :raises RequestRefused: if Placement refuses
    """
    path = f"/resource_providers/{provider}/aggregates"
    for attempt in range(1, _ATTEMPTS + 1):
        body: dict[str, Any] = api.placement(path)
        if aggregate in body["aggregates"]:
            return
        try:
            new = {**body, "aggregates": [*body["aggregates"], aggregate]}
            api.send("placement", "PUT", path, new)
        except RequestRefused as refusal:
            if refusal.status != 409 or attempt == _ATTEMPTS:
                raise


def _provider_uuid(api: CloudWriter, host: str) -> str | None:
    """Return the UUID of a host's first node; None if nova-compute has not reported it yet."""
    providers = api.placement("/resource_providers", name=host)["resource_providers"]
    if providers:
        provider_uuid: str = providers[0]["uuid"]
        return provider_uuid
    # The node's name may differ from the host's, such as by a domain. Nova matches parts of a name,
    # without pages, and answers 404 if nothing matches.
    try:
        nodes = api.nova("/os-hypervisors/detail", hypervisor_hostname_pattern=host)["hypervisors"]
    except exceptions.HttpException as error:
        if not is_not_found(error):
            raise
        return None
    for node in nodes:
        if node["service"]["host"] == host:
            node_uuid: str = node["id"]
            return node_uuid
    return None
