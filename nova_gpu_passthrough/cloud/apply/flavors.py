# SPDX-License-Identifier: Apache-2.0
"""Flavors: plan and make changes.

A flavor of the fleet file gets exactly the extra specs and the access that the file says. A server
keeps a copy of the flavor that it was created with. So a flavor that servers use is changed only on
request: otherwise its servers would no longer match their flavor's name.

A private flavor is created without access, then gets its extra specs, then its projects get access:
no tenant sees it without its extra specs. Nova allows no such order for a public flavor, which
exists for a moment without them.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from openstack import exceptions

from nova_gpu_passthrough.cloud.apply.change import Action, Change, Document, ResourceKind
from nova_gpu_passthrough.cloud.apply.plan import ADOPTED, PlanOptions, PlanPart
from nova_gpu_passthrough.cloud.apply.projects import Projects, UnknownProject
from nova_gpu_passthrough.cloud.apply.record import (
    Ledger,
    Origin,
    RecordEntry,
    RecordKey,
    mark_complete,
    reconcile_entries,
)
from nova_gpu_passthrough.cloud.apply.writer import CloudWriter, RequestRefused
from nova_gpu_passthrough.cloud.view import flavors as view
from nova_gpu_passthrough.cloud.view.model import CloudFlavor
from nova_gpu_passthrough.fleet.desired_state import Flavor
from nova_gpu_passthrough.nova_rules import alias_string, placement_extra_specs
from nova_gpu_passthrough.nova_rules.alias_string import InvalidAliasStringError

_CHANGE_USED = "add --change-used to do it anyway"
#: Servers to list; if there are more, the message says "or more".
_MAX_SERVERS = 100
#: Extra specs that Nova's libvirt driver uses and Nova's validation refuses, since it does not know
#: them (nova/api/validation/extra_specs/hw.py).
_UNKNOWN_TO_VALIDATION = ("hw:maxphysaddr_mode", "hw:maxphysaddr_bits")
#: The last microversion without validation of extra specs.
_UNVALIDATED = "2.85"


@dataclass(frozen=True)
class ImmutableFlavorFields:
    """The fields of a flavor that Nova cannot change: its size, and whether it is public."""

    vcpus: int
    ram_mib: int
    disk_gib: int
    ephemeral_gib: int = 0
    swap_mib: int = 0
    public: bool = True

    @classmethod
    def of(cls, flavor: CloudFlavor) -> "ImmutableFlavorFields":
        """Return the fields of a flavor in the cloud."""
        return cls(
            flavor.vcpus,
            flavor.ram_mib,
            flavor.disk_gib,
            flavor.ephemeral_gib,
            flavor.swap_mib,
            flavor.public,
        )

    @classmethod
    def desired(cls, flavor: Flavor) -> "ImmutableFlavorFields":
        """Return the fields of a flavor of the fleet file."""
        size = flavor.vcpus, flavor.ram_mib, flavor.disk_gib
        return cls(*size, public=flavor.projects is None)


@dataclass(frozen=True)
class FlavorTarget:
    """The target state of a flavor; None: leave that property as it is."""

    #: None: a new id.
    id: str | None
    size: ImmutableFlavorFields
    extra_specs: Mapping[str, str] | None
    #: Ids of projects.
    access: frozenset[str] | None


def plan(
    api: CloudWriter,
    projects: Projects,
    desired: Iterable[Flavor],
    aliases: Mapping[str, str],
    options: PlanOptions,
) -> PlanPart:
    """Compare the cloud's flavors with those desired.

    :param aliases: resource classes by alias name, to recognize GPU flavors
    """
    part = PlanPart()
    existing = {flavor.name: flavor for flavor in view.read(api)}
    desired_by_name = {flavor.name: flavor for flavor in desired}
    desired_keys = {RecordKey(ResourceKind.FLAVOR, name) for name in desired_by_name}
    existing_keys: dict[RecordKey, str | None] = {
        RecordKey(ResourceKind.FLAVOR, name): flavor.id for name, flavor in existing.items()
    }
    recorded = options.recorded(ResourceKind.FLAVOR)
    entries = {e.key: e for e in reconcile_entries(recorded, existing_keys, desired_keys)}
    used_ids = {flavor.id for flavor in existing.values()}
    unknown_projects: dict[str, list[str]] = {}
    for name, flavor in desired_by_name.items():
        key = RecordKey(ResourceKind.FLAVOR, name)
        current, entry = existing.get(name), entries.get(key)
        target = _target(flavor, projects, unknown_projects)
        if current is None:
            old_id = entry.id if entry is not None and entry.id not in used_ids else None
            _plan_create(name, replace(target, id=old_id), projects, part)
            continue
        target = replace(target, id=current.id)
        if not _plan_update(api, current, target, entry, projects, options, part):
            entries[key] = mark_complete(entries[key])
    for name, current in existing.items():
        if name not in desired_by_name:
            entry = entries.get(RecordKey(ResourceKind.FLAVOR, name))
            request = _gpu_request(current, aliases)
            _plan_delete(api, current, entry, request, projects, options, part)
    for reason, names in unknown_projects.items():
        for name in names:
            part.skip(
                ResourceKind.FLAVOR,
                name,
                f"{reason}, so it gets no access; run apply again once it exists",
            )
    part.notes += _notes(desired_by_name.values())
    part.entries += entries.values()
    return part


def _notes(desired: Iterable[Flavor]) -> Iterator[str]:
    names = [flavor.name for flavor in desired if flavor.projects == ()]
    if names:
        noun, pronoun = ("flavors", "them") if len(names) > 1 else ("flavor", "it")
        yield (
            f"{noun} {', '.join(names)}: private, and no project may use {pronoun}: name {pronoun} "
            "below projects in the fleet file, or set public: true"
        )


def _target(
    flavor: Flavor, projects: Projects, unknown_projects: dict[str, list[str]]
) -> FlavorTarget:
    """Return the target state of a flavor.

    :param unknown_projects: gets the flavor's name for each error about one of its projects
    """
    access: set[str] = set()
    for project in flavor.projects or ():
        try:
            access.add(projects.id(project))
        except UnknownProject as error:
            unknown_projects.setdefault(str(error), []).append(flavor.name)
    private = flavor.projects is not None
    return FlavorTarget(
        None,
        ImmutableFlavorFields.desired(flavor),
        flavor.extra_specs,
        frozenset(access) if private else None,
    )


def _plan_create(name: str, target: FlavorTarget, projects: Projects, part: PlanPart) -> None:
    after = _document(target.size, target.extra_specs or {}, target.access, projects)
    part.changes.append(Change(ResourceKind.FLAVOR, name, Action.CREATE, None, after, target))


def _plan_update(
    api: CloudWriter,
    flavor: CloudFlavor,
    target: FlavorTarget,
    entry: RecordEntry | None,
    projects: Projects,
    options: PlanOptions,
    part: PlanPart,
) -> bool:
    """Plan the update or replacement of a flavor; return whether one is needed."""
    size, access = ImmutableFlavorFields.of(flavor), _access(flavor)
    size_differs, specs_differ = size != target.size, flavor.extra_specs != target.extra_specs
    pending = entry is not None and entry.origin is Origin.PENDING
    if (size_differs or specs_differ) and not (pending or options.change_used):
        usage = _usage(api, flavor.id)
        if usage:
            names = _differing_properties(flavor, target)
            stay = "stays as it is" if len(names) == 1 else "stay as they are"
            reason = f"{usage}, so {', '.join(names)} {stay}; {_CHANGE_USED}"
            change = _change(flavor, target, projects)
            part.skip(ResourceKind.FLAVOR, flavor.name, reason, change)
            # Access can still change, unless the flavor would have to become public or private.
            visibility_differs = size_differs and flavor.public != target.size.public
            target = replace(
                target,
                size=size,
                extra_specs=flavor.extra_specs,
                access=access if visibility_differs else target.access,
            )
            size_differs = specs_differ = False
    if not (size_differs or specs_differ or access != target.access):
        return False
    part.changes.append(_change(flavor, target, projects))
    return True


def _change(flavor: CloudFlavor, target: FlavorTarget, projects: Projects) -> Change:
    """Return the update or replacement of a flavor."""
    size = ImmutableFlavorFields.of(flavor)
    before = _document(size, flavor.extra_specs, _access(flavor), projects)
    after = _document(target.size, target.extra_specs or {}, target.access, projects)
    action = Action.UPDATE if size == target.size else Action.REPLACE
    return Change(ResourceKind.FLAVOR, flavor.name, action, before, after, target)


def _plan_delete(
    api: CloudWriter,
    flavor: CloudFlavor,
    entry: RecordEntry | None,
    gpu_request: str | None,
    projects: Projects,
    options: PlanOptions,
    part: PlanPart,
) -> None:
    """Plan the deletion of a flavor that the fleet file does not name, if apply may delete it."""
    if entry is None and gpu_request is None:
        return
    size = ImmutableFlavorFields.of(flavor)
    before = _document(size, flavor.extra_specs, _access(flavor), projects)
    target = FlavorTarget(flavor.id, size, None, None)
    change = Change(ResourceKind.FLAVOR, flavor.name, Action.DELETE, before, None, target)
    if not (options.prune or (entry is not None and entry.deletable)):
        reason = ADOPTED if entry else f"not in the fleet file, and it requests {gpu_request}"
        part.skip_foreign(ResourceKind.FLAVOR, flavor.name, reason, change)
        return
    usage = None if options.change_used else _usage(api, flavor.id)
    if usage:
        reason = f"not in the fleet file, but {usage}; {_CHANGE_USED}"
        part.skip(ResourceKind.FLAVOR, flavor.name, reason, change)
    else:
        part.deletions.append(change)


def _access(flavor: CloudFlavor) -> frozenset[str] | None:
    return None if flavor.public else frozenset(flavor.projects or ())


def _document(
    size: ImmutableFlavorFields,
    extra_specs: Mapping[str, str],
    access: frozenset[str] | None,
    projects: Projects,
) -> Document:
    """Return a flavor as a diff shows it."""
    disks = {"ephemeral_gib": size.ephemeral_gib, "swap_mib": size.swap_mib}
    return {
        "vcpus": size.vcpus,
        "ram_mib": size.ram_mib,
        "disk_gib": size.disk_gib,
        **{key: value for key, value in disks.items() if value},
        "access": "public" if size.public else sorted(projects.name(one) for one in access or ()),
        "extra_specs": dict(sorted(extra_specs.items())),
    }


def _differing_properties(flavor: CloudFlavor, target: FlavorTarget) -> list[str]:
    """Return the names of size properties and extra specs that differ from the target."""
    size, specs = ImmutableFlavorFields.of(flavor), target.extra_specs or {}
    names = [name for name, value in vars(target.size).items() if value != getattr(size, name)]
    names += sorted(
        key
        for key in {*specs, *flavor.extra_specs}
        if specs.get(key) != flavor.extra_specs.get(key)
    )
    return names


def _usage(api: CloudWriter, flavor_id: str) -> str | None:
    """Describe the servers that use a flavor: ``3 servers use it (such as train-1, ID)``."""
    query = {"all_tenants": "1", "flavor": flavor_id, "limit": str(_MAX_SERVERS)}
    servers = api.nova("/servers", **query)["servers"]
    if not servers:
        return None
    count = f"{len(servers)}{' or more' if len(servers) >= _MAX_SERVERS else ''}"
    verb = "server uses" if len(servers) == 1 else "servers use"
    return f"{count} {verb} it (such as {servers[0]['name']}, {servers[0]['id']})"


def _gpu_request(flavor: CloudFlavor, aliases: Mapping[str, str]) -> str | None:
    """Return the alias or resource class of the fleet that a flavor requests, if any.

    A value of aliases that Nova refuses requests none.
    """
    try:
        requested = alias_string.read(flavor.extra_specs)
    except InvalidAliasStringError:
        requested = ()
    for name, devices in requested:
        if devices and name in aliases:
            return f"alias {name}"
    for one in placement_extra_specs.resources(flavor.extra_specs):
        if one.name in aliases.values():
            return one.name
    return None


def perform(api: CloudWriter, ledger: Ledger, change: Change) -> None:
    """Make one change, whatever state the flavor is in.

    :raises RequestRefused: if Nova refuses
    """
    target: FlavorTarget = change.target
    if change.action is Action.DELETE:
        _delete(api, target.id or "")
        ledger.remove(RecordKey(ResourceKind.FLAVOR, change.name))
        return
    flavor_id = target.id or str(uuid.uuid4())
    entry = RecordEntry(ResourceKind.FLAVOR, change.name, id=flavor_id)
    if change.action is not Action.UPDATE:
        ledger.mark_pending(entry)
    flavor = _show(api, flavor_id)
    if flavor is not None and change.action is Action.REPLACE and _size(flavor) != target.size:
        _delete(api, flavor_id)
        flavor = None
    if flavor is None and change.action is Action.UPDATE:
        # Someone deleted it: the next run creates it again.
        return
    if flavor is None:
        flavor = _create(api, ledger, entry, target)
        try:
            _set_extra_specs(api, flavor_id, flavor["extra_specs"], target.extra_specs or {})
        except RequestRefused:
            # Nobody may get this flavor without its extra specs.
            _delete(api, flavor_id)
            ledger.remove(entry.key)
            raise
    elif target.extra_specs is not None:
        _set_extra_specs(api, flavor_id, flavor["extra_specs"], target.extra_specs)
    if target.access is not None:
        _set_access(api, flavor_id, target.access)
    if ledger.entry(entry.key) is not None:
        ledger.mark_created(entry)


def _create(
    api: CloudWriter, ledger: Ledger, entry: RecordEntry, target: FlavorTarget
) -> Mapping[str, Any]:
    size = target.size
    flavor = {
        "id": entry.id,
        "name": entry.name,
        "vcpus": size.vcpus,
        "ram": size.ram_mib,
        "disk": size.disk_gib,
        "OS-FLV-EXT-DATA:ephemeral": size.ephemeral_gib,
        "swap": size.swap_mib,
        "os-flavor-access:is_public": size.public,
    }
    try:
        body = api.send("compute", "POST", "/flavors", {"flavor": flavor}).body["flavor"]
    except RequestRefused as refusal:
        # The id is apply's alone, whoever else creates flavors of that name.
        existing = _show(api, entry.id or "") if refusal.status == 409 else None
        if existing is None or existing["name"] != entry.name:
            ledger.remove(entry.key)
            raise
        return existing
    created: Mapping[str, Any] = {"extra_specs": {}, **body}
    return created


def _set_extra_specs(
    api: CloudWriter, flavor_id: str, current: Mapping[str, str], desired: Mapping[str, str]
) -> None:
    path = f"/flavors/{flavor_id}/os-extra_specs"
    new = {key: value for key, value in desired.items() if current.get(key) != value}
    unvalidated = {key: new.pop(key) for key in _UNKNOWN_TO_VALIDATION if key in new}
    if new:
        api.send("compute", "POST", path, {"extra_specs": new})
    if unvalidated:
        api.send("compute", "POST", path, {"extra_specs": unvalidated}, version=_UNVALIDATED)
    for key in sorted(current.keys() - desired.keys()):
        _send_removal(api, "DELETE", f"{path}/{quote(key, safe='')}")


def _set_access(api: CloudWriter, flavor_id: str, desired: frozenset[str]) -> None:
    body = api.nova(f"/flavors/{flavor_id}/os-flavor-access")
    current = {entry["tenant_id"] for entry in body["flavor_access"]}
    for project in sorted(desired - current):
        try:
            action = {"addTenantAccess": {"tenant": project}}
            api.send("compute", "POST", f"/flavors/{flavor_id}/action", action)
        except RequestRefused as refusal:
            if refusal.status != 409:
                raise
    for project in sorted(current - desired):
        action = {"removeTenantAccess": {"tenant": project}}
        _send_removal(api, "POST", f"/flavors/{flavor_id}/action", action)


def _show(api: CloudWriter, flavor_id: str) -> Mapping[str, Any] | None:
    try:
        flavor: Mapping[str, Any] = api.nova(f"/flavors/{quote(flavor_id, safe='')}")["flavor"]
    except exceptions.NotFoundException:
        return None
    return flavor


def _size(flavor: Mapping[str, Any]) -> ImmutableFlavorFields:
    return ImmutableFlavorFields(
        flavor["vcpus"],
        flavor["ram"],
        flavor["disk"],
        flavor["OS-FLV-EXT-DATA:ephemeral"],
        flavor["swap"] or 0,
        bool(flavor["os-flavor-access:is_public"]),
    )


def _delete(api: CloudWriter, flavor_id: str) -> None:
    _send_removal(api, "DELETE", f"/flavors/{quote(flavor_id, safe='')}")


def _send_removal(api: CloudWriter, method: str, path: str, body: Any = None) -> None:
    """Send a request that removes an object; the object may be gone already."""
    try:
        api.send("compute", method, path, body)
    except RequestRefused as refusal:
        if refusal.status != 404:
            raise
