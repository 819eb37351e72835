# SPDX-License-Identifier: Apache-2.0
"""Nova's unified limits in Keystone: plan and make changes.

The fleet file decides about all project limits on its GPU resource classes, but about project
limits on servers, vCPUs and memory only for the projects that it names. Keystone changes and
deletes no registered limit to which project limits refer (``_check_referenced_limit_reference`` in
keystone/limit/backends/sql.py): if all of these are in the fleet file, apply deletes them for a
moment and creates them again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nova_gpu_passthrough.cloud.apply.change import Action, Change, ResourceKind
from nova_gpu_passthrough.cloud.apply.plan import ADOPTED, PlanOptions, PlanPart
from nova_gpu_passthrough.cloud.apply.projects import Projects, UnknownProject
from nova_gpu_passthrough.cloud.apply.record import (
    Ledger,
    RecordEntry,
    RecordKey,
    mark_complete,
    reconcile_entries,
)
from nova_gpu_passthrough.cloud.apply.writer import CloudWriter, RequestRefused
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet.desired_state import Limit

_REGISTERED, _PROJECT = ResourceKind.REGISTERED_LIMIT, ResourceKind.PROJECT_LIMIT
#: Keystone's name of the value, in requests and responses.
_VALUE_KEYS = {_REGISTERED: "default_limit", _PROJECT: "resource_limit"}
#: Keystone's name of the collection.
_COLLECTIONS = {_REGISTERED: "registered_limits", _PROJECT: "limits"}
#: The value of a limit that does not limit.
UNLIMITED = -1
#: Resource and project id.
_ResourceProject = tuple[str, str]


@dataclass(frozen=True)
class LimitScope:
    """The service and the region that limits are for, by their ids in Keystone."""

    service: str
    region: str

    def list_limits(
        self, api: CloudWriter, kind: ResourceKind, **filters: str
    ) -> list[Mapping[str, Any]]:
        """Return the limits of a kind that match all filters.

        :raises UserError: if Keystone returns only some of them
        """
        scope = {"service_id": self.service, "region_id": self.region}
        return api.limits(_COLLECTIONS[kind], **scope, **filters)

    def registered_limits(self, api: CloudWriter) -> dict[str, int]:
        """Return the values of Nova's registered limits by resource; see `list_limits`."""
        return {
            limit["resource_name"]: limit[_VALUE_KEYS[_REGISTERED]]
            for limit in self.list_limits(api, _REGISTERED)
        }

    def create_limit(
        self, api: CloudWriter, kind: ResourceKind, value: int, **properties: str
    ) -> Mapping[str, Any]:
        """Create one limit, and return it."""
        limit = {
            "service_id": self.service,
            "region_id": self.region,
            _VALUE_KEYS[kind]: value,
            **properties,
        }
        collection = _COLLECTIONS[kind]
        body = api.send("identity", "POST", f"/{collection}", {collection: [limit]}).body
        created: Mapping[str, Any] = body[collection][0]
        return created


def limit_scope(api: CloudWriter) -> LimitScope:
    """Return the service and region of Nova's limits.

    :raises UserError: if Keystone's catalogue does not determine them
    """
    services = api.keystone("/services", type="compute")["services"]
    if len(services) > 1:
        services = [one for one in services if one["name"] == "nova"] or services
    if len(services) != 1:
        raise UserError(
            f"Keystone has {len(services)} services of type compute: limits need exactly one, or "
            "one that is named nova; see openstack service list"
        )
    service, region = services[0]["id"], api.connection.config.get_region_name("compute")
    if not region:
        endpoints = api.keystone("/endpoints", service_id=service)["endpoints"]
        regions = sorted({one["region_id"] for one in endpoints} - {None})
        if len(regions) != 1:
            raise UserError(
                f"each region has its own limits, and Nova is in {', '.join(regions) or 'none'}: "
                "name one with --os-region-name"
            )
        region = regions[0]
    return LimitScope(service, str(region))


@dataclass(frozen=True)
class LimitTarget:
    """The target state of a limit."""

    scope: LimitScope
    resource: str
    #: None: delete it.
    value: int | None
    #: The project's id; None for a registered limit.
    project: str | None = None
    #: For the change of a registered limit: the project limits to delete before it, by project id,
    #: and the values with which to create them after it; None: do not create it again.
    recreated: Mapping[str, int | None] = field(default_factory=dict)


def plan(
    api: CloudWriter,
    projects: Projects,
    desired: Iterable[Limit],
    resource_classes: Iterable[str],
    options: PlanOptions,
    unlimited: Iterable[str] = (),
) -> PlanPart:
    """Compare Keystone's limits with those desired.

    :param resource_classes: those of the fleet's GPUs
    :param unlimited: resources that get a registered limit of -1 unless somebody else set one
    """
    part = PlanPart()
    limits, recorded = tuple(desired), options.recorded(_REGISTERED, _PROJECT)
    gpu_resources = {f"class:{name}" for name in resource_classes}
    resources = {limit.resource for limit in limits} | {key.name for key in recorded}
    resources |= gpu_resources | set(unlimited)
    if not resources:
        return part
    comparison = _LimitComparison(api, projects, options, part, unlimited)
    comparison.read(sorted(resources), limits, recorded, gpu_resources)
    comparison.plan_registered_limits()
    comparison.plan_project_limits()
    comparison.plan_deletions()
    return part


class _LimitComparison:
    """Compares Keystone's limits with those desired, and plans changes in a part of the plan."""

    def __init__(
        self,
        api: CloudWriter,
        projects: Projects,
        options: PlanOptions,
        part: PlanPart,
        unlimited: Iterable[str],
    ) -> None:
        self._api, self._projects = api, projects
        self._options, self._part, self._unlimited = options, part, frozenset(unlimited)
        self._scope = limit_scope(api)

    def read(
        self,
        resources: Iterable[str],
        desired: tuple[Limit, ...],
        recorded: Mapping[RecordKey, RecordEntry],
        gpu_resources: set[str],
    ) -> None:
        """Read the limits in Keystone, and find the ids of projects."""
        self._registered = {
            limit["resource_name"]: limit
            for limit in self._scope.list_limits(self._api, _REGISTERED)
        }
        #: Those of domains among them.
        self._limits_by_resource = {
            resource: self._scope.list_limits(self._api, _PROJECT, resource_name=resource)
            for resource in resources
        }
        self._project_limits = {
            (resource, limit["project_id"]): limit
            for resource, limits in self._limits_by_resource.items()
            for limit in limits
            if limit["project_id"]
        }
        self._desired_defaults = {
            limit.resource: limit.value for limit in desired if limit.project is None
        }
        self._desired_defaults |= {
            resource: UNLIMITED
            for resource in self._unlimited
            if self._may_lift(resource, recorded.get(RecordKey(_REGISTERED, resource)))
        }
        self._desired: dict[_ResourceProject, int] = {}
        for limit in desired:
            if limit.project is not None:
                try:
                    project_id = self._projects.id(limit.project)
                except UnknownProject as error:
                    reason = f"{error}; run apply again once it exists"
                    self._part.skip(_PROJECT, limit.resource, reason)
                else:
                    self._desired[limit.resource, project_id] = limit.value
        existing_keys: dict[RecordKey, str | None] = {
            RecordKey(_REGISTERED, name): limit["id"] for name, limit in self._registered.items()
        } | {RecordKey(_PROJECT, *key): limit["id"] for key, limit in self._project_limits.items()}
        desired_keys = {RecordKey(_REGISTERED, name) for name in self._desired_defaults}
        desired_keys |= {RecordKey(_PROJECT, *key) for key in self._desired}
        self._entries = {
            e.key: mark_complete(e) if e.key in existing_keys else e
            for e in reconcile_entries(recorded, existing_keys, desired_keys)
        }
        self._part.entries += self._entries.values()
        self._find_deletions(gpu_resources)

    def _may_lift(self, resource: str, entry: RecordEntry | None) -> bool:
        """Check whether a resource has no registered limit, or one that apply created."""
        current = self._registered.get(resource)
        return current is None or (
            entry is not None and entry.deletable and entry.id in (None, current["id"])
        )

    def _find_deletions(self, gpu_resources: set[str]) -> None:
        """Find the project limits that are not in the fleet file, and which of them to delete."""
        self._deleted: set[_ResourceProject] = set()
        self._foreign: dict[_ResourceProject, str] = {}
        for key in self._project_limits:
            entry = self._entries.get(RecordKey(_PROJECT, *key))
            if key in self._desired or (entry is None and key[0] not in gpu_resources):
                continue
            if self._options.prune or (entry is not None and entry.deletable):
                self._deleted.add(key)
            else:
                on_gpus = "not in the fleet file, though it limits GPUs of the fleet"
                self._foreign[key] = ADOPTED if entry else on_gpus

    def plan_registered_limits(self) -> None:
        """Plan the default limits, which hold for every project without its own."""
        recreated_for: dict[str, list[str]] = {}
        for resource, value in sorted(self._desired_defaults.items()):
            current = self._registered.get(resource)
            old = current[_VALUE_KEYS[_REGISTERED]] if current else None
            if old == value or (current and self._skip_if_referenced(resource)):
                continue
            recreated = {
                key[1]: self._desired.get(key) for key in self._project_limits if key[0] == resource
            }
            names = sorted(
                self._projects.name(project)
                for project, limit in recreated.items()
                if limit is not None
            )
            if names:
                recreated_for.setdefault(", ".join(names), []).append(resource)
            target = LimitTarget(self._scope, resource, value, recreated=recreated)
            self._part.changes.append(_change(_REGISTERED, resource, old, value, target))
        self._part.notes += (
            f"{_REGISTERED if len(resources) == 1 else _REGISTERED.plural} {', '.join(resources)}: "
            f"the limits of {projects} are deleted for a moment and created again: Keystone "
            "changes no registered limit that project limits refer to"
            for projects, resources in recreated_for.items()
        )

    def _skip_if_referenced(self, resource: str) -> bool:
        """Skip the change of a registered limit that others' limits refer to; return whether so."""
        owners = {
            self._projects.name(limit["project_id"]) if limit["project_id"] else "a domain"
            for limit in self._limits_by_resource[resource]
            if (resource, limit["project_id"]) not in self._desired.keys() | self._deleted
        }
        if owners:
            reason = (
                f"it stays {self._registered[resource][_VALUE_KEYS[_REGISTERED]]}, not "
                f"{self._desired_defaults[resource]}: Keystone does not change it while projects "
                f"outside the fleet file have their own limits ({', '.join(sorted(owners))}); "
                "delete these, or name the projects in the fleet file"
            )
            self._part.skip(_REGISTERED, resource, reason)
        return bool(owners)

    def plan_project_limits(self) -> None:
        """Plan the limits of single projects."""
        for (resource, project), value in sorted(self._desired.items()):
            name = self._display_name(resource, project)
            current = self._project_limits.get((resource, project))
            old = current[_VALUE_KEYS[_PROJECT]] if current else None
            if resource not in self._registered and resource not in self._desired_defaults:
                reason = (
                    "a project limit needs a registered limit, and Keystone has none for this "
                    "resource: add a default quota to the fleet file"
                )
                self._part.skip(_PROJECT, name, reason)
            elif old != value:
                target = LimitTarget(self._scope, resource, value, project)
                self._part.changes.append(_change(_PROJECT, name, old, value, target))

    def plan_deletions(self) -> None:
        """Plan the deletion of limits that the fleet file does not name, if apply may."""
        for key, reason in sorted(self._foreign.items()):
            self._part.skip_foreign(_PROJECT, self._display_name(*key), reason)
        for resource, project in sorted(self._deleted):
            target = LimitTarget(self._scope, resource, None, project)
            old = self._project_limits[resource, project][_VALUE_KEYS[_PROJECT]]
            name = self._display_name(resource, project)
            self._part.deletions.append(_change(_PROJECT, name, old, None, target))
        for resource, limit in sorted(self._registered.items()):
            entry = self._entries.get(RecordKey(_REGISTERED, resource))
            if entry is None or resource in self._desired_defaults.keys() | self._unlimited:
                continue
            deleted = sum(key[0] == resource for key in self._deleted)
            if not (entry.deletable or self._options.prune):
                self._part.skip_foreign(_REGISTERED, resource, ADOPTED)
            elif len(self._limits_by_resource[resource]) > deleted:
                reason = "not in the fleet file any more, but projects have their own limits"
                self._part.skip(_REGISTERED, resource, reason)
            else:
                old, target = (
                    limit[_VALUE_KEYS[_REGISTERED]],
                    LimitTarget(self._scope, resource, None),
                )
                self._part.deletions.append(_change(_REGISTERED, resource, old, None, target))

    def _display_name(self, resource: str, project: str) -> str:
        return f"{resource} of {self._projects.name(project)}"


def _change(
    kind: ResourceKind, name: str, before: int | None, after: int | None, target: LimitTarget
) -> Change:
    """Return the change of a limit's value; None: the limit does not exist, or is deleted."""
    action = Action.CREATE if before is None else Action.UPDATE
    if after is None:
        action = Action.DELETE
    old, new = (None if value is None else {"limit": value} for value in (before, after))
    return Change(kind, name, action, old, new, target)


def perform(api: CloudWriter, ledger: Ledger, change: Change) -> None:
    """Make one change, whatever state the limit is in.

    :raises RequestRefused: if Keystone refuses
    """
    target: LimitTarget = change.target
    entry = RecordEntry(change.kind, target.resource, target.project or "")
    if target.value is None:
        limit = _find(api, target, target.project)
        if limit is not None:
            _delete(api, change.kind, limit)
        ledger.remove(entry.key)
    elif change.kind is _PROJECT:
        _set(api, ledger, target, entry, target.value)
    else:
        _set_registered(api, ledger, target, entry, target.value)


def _set_registered(
    api: CloudWriter, ledger: Ledger, target: LimitTarget, entry: RecordEntry, value: int
) -> None:
    """Create or change a registered limit; delete the project limits meanwhile."""
    current = _find(api, target, None)
    if current is None or current[_VALUE_KEYS[_REGISTERED]] == value:
        _set(api, ledger, target, entry, value)
        return
    recreated = {project: limit for project, limit in target.recreated.items() if limit is not None}
    entries = {project: RecordEntry(_PROJECT, target.resource, project) for project in recreated}
    # If this run is killed before it creates them again, the next one knows that it has to.
    ledger.mark_pending(*entries.values())
    for project in target.recreated:
        limit = _find(api, target, project)
        if limit is not None:
            _delete(api, _PROJECT, limit)
    _set(api, ledger, target, entry, value)
    for project, limit_value in recreated.items():
        project_target = LimitTarget(target.scope, target.resource, limit_value, project)
        _set(api, ledger, project_target, entries[project], limit_value)


def _set(
    api: CloudWriter, ledger: Ledger, target: LimitTarget, entry: RecordEntry, value: int
) -> None:
    """Create one limit, or change its value."""
    kind, value_key = entry.kind, _VALUE_KEYS[entry.kind]
    limit = _find(api, target, entry.part or None)
    if limit is None:
        ledger.mark_pending(entry)
        limit = _create(api, ledger, target, entry, value)
    if limit[value_key] != value:
        member = _COLLECTIONS[kind].removesuffix("s")
        body = {member: {value_key: value}}
        limit = api.send("identity", "PATCH", _path(kind, limit), body).body[member]
        if limit[value_key] != value:
            # Keystone ignores the change of a project limit to 0, and reports no error
            # (``update_limit`` in keystone/limit/backends/sql.py).
            ledger.mark_pending(entry)
            _delete(api, kind, limit)
            limit = _create(api, ledger, target, entry, value)
    if ledger.entry(entry.key) is not None:
        ledger.mark_created(RecordEntry(kind, entry.name, entry.part, limit["id"]))


def _create(
    api: CloudWriter, ledger: Ledger, target: LimitTarget, entry: RecordEntry, value: int
) -> Mapping[str, Any]:
    project = {"project_id": entry.part} if entry.part else {}
    try:
        return target.scope.create_limit(
            api, entry.kind, value, resource_name=entry.name, **project
        )
    except RequestRefused as refusal:
        limit = _find(api, target, entry.part or None) if refusal.status == 409 else None
        if limit is None:
            ledger.remove(entry.key)
            raise
        if not refusal.retried:
            ledger.mark_adopted(RecordEntry(entry.kind, entry.name, entry.part, limit["id"]))
        return limit


def _find(api: CloudWriter, target: LimitTarget, project: str | None) -> Mapping[str, Any] | None:
    """Read a limit as it is now; None if it does not exist."""
    kind, filters = _REGISTERED, {"resource_name": target.resource}
    if project is not None:
        kind, filters = _PROJECT, {**filters, "project_id": project}
    limits = target.scope.list_limits(api, kind, **filters)
    return limits[0] if limits else None


def _delete(api: CloudWriter, kind: ResourceKind, limit: Mapping[str, Any]) -> None:
    try:
        api.send("identity", "DELETE", _path(kind, limit))
    except RequestRefused as refusal:
        if refusal.status != 404:
            raise


def _path(kind: ResourceKind, limit: Mapping[str, Any]) -> str:
    return f"/{_COLLECTIONS[kind]}/{limit['id']}"
