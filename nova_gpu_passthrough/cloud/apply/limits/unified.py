# SPDX-License-Identifier: Apache-2.0
"""What is to be made, changed and deleted of Nova's unified limits in Keystone.

Limits of projects on GPU classes are the fleet file's; those on servers, vCPUs and memory are only
where it names the project. Keystone changes and deletes no registered limit to which limits of
projects refer (``_check_referenced_limit_reference`` in keystone/limit/backends/sql.py): where all
of these are the fleet file's, they are taken away for a moment and made anew.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nova_gpu_passthrough.cloud.apply.api import Api, Refused
from nova_gpu_passthrough.cloud.apply.change import (
    ADOPTED,
    Action,
    Change,
    Entry,
    Held,
    Key,
    Kind,
    Options,
    Part,
    complete,
    reconciled,
)
from nova_gpu_passthrough.cloud.apply.projects import Projects, UnknownProject
from nova_gpu_passthrough.cloud.apply.record import Ledger
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet.desired import Limit

#: What Keystone calls the value, in requests and answers.
VALUES = {Kind.REGISTERED_LIMIT: "default_limit", Kind.PROJECT_LIMIT: "resource_limit"}
_PATHS = {Kind.REGISTERED_LIMIT: "registered_limits", Kind.PROJECT_LIMIT: "limits"}


@dataclass(frozen=True)
class Place:
    """Whose limits they are."""

    service: str
    region: str

    def find(self, api: Api, kind: Kind, **wanted: str) -> list[Mapping[str, Any]]:
        """Limits with all of some properties.

        :raises UserError: if Keystone shows only some of them
        """
        path = _PATHS[kind]
        scope = {"service_id": self.service, "region_id": self.region}
        body = api.keystone(f"/{path}", **scope, **wanted)
        if body.get("truncated"):
            raise UserError(
                "Keystone shows only some of the limits: raise list_limit in [unified_limit] of "
                "keystone.conf"
            )
        found: list[Mapping[str, Any]] = body[path]
        return found

    def create(self, api: Api, kind: Kind, value: int, **wanted: str) -> Mapping[str, Any]:
        """Make one limit."""
        limit = {
            "service_id": self.service,
            "region_id": self.region,
            VALUES[kind]: value,
            **wanted,
        }
        body = api.send("identity", "POST", path(kind), {_PATHS[kind]: [limit]}).body
        made: Mapping[str, Any] = body[_PATHS[kind]][0]
        return made


@dataclass(frozen=True)
class Target:
    """What a limit shall be."""

    place: Place
    resource: str
    #: None: it shall not be.
    value: int | None
    #: An id; None for a registered limit.
    project: str | None = None
    #: Of a registered limit: limits of projects, by their ids, that are deleted before it is
    #: changed, and their values after it; None: they are not made anew.
    again: Mapping[str, int | None] = field(default_factory=dict)


def path(kind: Kind, number: str = "") -> str:
    """Where limits of a kind are, or one of them."""
    return f"/{_PATHS[kind]}/{number}" if number else f"/{_PATHS[kind]}"


def change(kind: Kind, name: str, before: int | None, after: int | None, target: Any) -> Change:
    """One step with a limit or quota; None: it is not there, or shall not be."""
    action = Action.CREATE if before is None else Action.UPDATE
    if after is None:
        action = Action.DELETE
    old, new = (None if value is None else {"limit": value} for value in (before, after))
    return Change(kind, name, action, old, new, target)


def place(api: Api) -> Place:
    """The service and region of Nova's limits.

    :raises UserError: if the catalogue does not tell
    """
    services = api.keystone("/services", type="compute")["services"]
    if len(services) > 1:
        services = [one for one in services if one["name"] == "nova"] or services
    if len(services) != 1:
        raise UserError(
            f"Keystone has {len(services)} services of type compute: limits need one, or one that "
            "is called nova; see openstack service list"
        )
    service, region = services[0]["id"], api.connection.config.get_region_name("compute")
    if not region:
        endpoints = api.keystone("/endpoints", service_id=service)["endpoints"]
        regions = sorted({one["region_id"] for one in endpoints} - {None})
        if len(regions) != 1:
            raise UserError(
                f"limits are kept by region, and Nova is in {', '.join(regions) or 'none'}: name "
                "one with --os-region-name"
            )
        region = regions[0]
    return Place(service, str(region))


def by_resource(
    api: Api, where: Place, resources: Iterable[str]
) -> dict[str, list[Mapping[str, Any]]]:
    """Limits of projects by resource; those of domains among them."""
    return {
        resource: where.find(api, Kind.PROJECT_LIMIT, resource_name=resource)
        for resource in resources
    }


_KINDS = (Kind.REGISTERED_LIMIT, Kind.PROJECT_LIMIT)
_REGISTERED, _PROJECT = (VALUES[kind] for kind in _KINDS)
#: Resource and project id.
_Pair = tuple[str, str]


def plan(
    api: Api,
    projects: Projects,
    desired: Iterable[Limit],
    classes: Iterable[str],
    options: Options,
) -> Part:
    """Compare Keystone's limits with those desired.

    :param classes: resource classes of the fleet's GPUs
    """
    part = Part()
    limits, known = tuple(desired), options.known(*_KINDS)
    ours = {f"class:{name}" for name in classes}
    resources = {limit.resource for limit in limits} | {key.name for key in known} | ours
    if not resources:
        return part
    planner = _Planner(api, place(api), projects, options, part)
    planner.read(sorted(resources), limits, known, ours)
    planner.registered()
    planner.of_projects()
    planner.left()
    return part


class _Planner:
    def __init__(
        self, api: Api, where: Place, projects: Projects, options: Options, part: Part
    ) -> None:
        self._api, self._where, self._projects = api, where, projects
        self._options, self._part = options, part

    def read(
        self,
        resources: Iterable[str],
        limits: tuple[Limit, ...],
        known: Mapping[Key, Entry],
        ours: set[str],
    ) -> None:
        """Read what is there, and find the projects."""
        registered = self._where.find(self._api, Kind.REGISTERED_LIMIT)
        self._registered = {one["resource_name"]: one for one in registered}
        self._limits = by_resource(self._api, self._where, resources)
        self._defaults = {one.resource: one.value for one in limits if one.project is None}
        self._wanted: dict[_Pair, int] = {}
        for limit in limits:
            if limit.project is not None:
                try:
                    pair = limit.resource, self._projects.id(limit.project)
                    self._wanted[pair] = limit.value
                except UnknownProject as error:
                    self._hold(limit.resource, f"{error}; run apply again once there is")
        self._found = {
            (resource, one["project_id"]): one
            for resource, some in self._limits.items()
            for one in some
            if one["project_id"]
        }
        there: dict[Key, str | None] = {
            Key(Kind.REGISTERED_LIMIT, name): one["id"] for name, one in self._registered.items()
        } | {Key(Kind.PROJECT_LIMIT, *pair): one["id"] for pair, one in self._found.items()}
        keys = {Key(Kind.REGISTERED_LIMIT, name) for name in self._defaults}
        keys |= {Key(Kind.PROJECT_LIMIT, *pair) for pair in self._wanted}
        self._entries = {
            e.key: complete(e) if e.key in there else e for e in reconciled(known, there, keys)
        }
        self._part.entries += self._entries.values()
        self._sort(ours)

    def registered(self) -> None:
        """What every project gets."""
        for resource, value in sorted(self._defaults.items()):
            one = self._registered.get(resource)
            old = one[_REGISTERED] if one else None
            if old == value or (one and self._others(resource)):
                continue
            again = {pair[1]: self._wanted.get(pair) for pair in self._found if pair[0] == resource}
            anew = sorted(
                self._projects.name(p) for p, number in again.items() if number is not None
            )
            if anew:
                self._part.notes.append(
                    f"registered limit {resource}: the limits of {', '.join(anew)} are deleted for "
                    "a moment and made anew: Keystone changes no registered limit that has any"
                )
            target = Target(self._where, resource, value, again=again)
            self._part.changes.append(change(Kind.REGISTERED_LIMIT, resource, old, value, target))

    def of_projects(self) -> None:
        """What single projects get."""
        for (resource, project), value in sorted(self._wanted.items()):
            one = self._found.get((resource, project))
            old = one[_PROJECT] if one else None
            if resource not in self._registered and resource not in self._defaults:
                reason = (
                    "Keystone has no registered limit of it, which a project's limit needs: give "
                    "the fleet file a default quota"
                )
                self._hold(self._name(resource, project), reason)
            elif old != value:
                target = Target(self._where, resource, value, project)
                name = self._name(resource, project)
                self._part.changes.append(change(Kind.PROJECT_LIMIT, name, old, value, target))

    def left(self) -> None:
        """Limits that the fleet file does not name, or names no more."""
        for pair, reason in sorted(self._foreign.items()):
            self._part.foreign(Kind.PROJECT_LIMIT, self._name(*pair), reason)
        for resource, project in sorted(self._going):
            target = Target(self._where, resource, None, project)
            value = self._found[resource, project][_PROJECT]
            name = self._name(resource, project)
            self._part.deletions.append(change(Kind.PROJECT_LIMIT, name, value, None, target))
        for resource, one in sorted(self._registered.items()):
            entry = self._entries.get(Key(Kind.REGISTERED_LIMIT, resource))
            if entry is None or resource in self._defaults:
                continue
            if not (entry.ours or self._options.prune):
                self._part.foreign(Kind.REGISTERED_LIMIT, resource, ADOPTED)
            elif len(self._limits[resource]) > sum(pair[0] == resource for pair in self._going):
                reason = "not in the fleet file any more, but projects have limits of their own"
                self._part.held.append(Held(Kind.REGISTERED_LIMIT, resource, reason))
            else:
                value, target = one[_REGISTERED], Target(self._where, resource, None)
                self._part.deletions.append(
                    change(Kind.REGISTERED_LIMIT, resource, value, None, target)
                )

    def _sort(self, ours: set[str]) -> None:
        """Which limits of projects that the fleet file does not name are to be deleted."""
        self._going: set[_Pair] = set()
        self._foreign: dict[_Pair, str] = {}
        for pair in self._found:
            entry = self._entries.get(Key(Kind.PROJECT_LIMIT, *pair))
            if pair in self._wanted or (entry is None and pair[0] not in ours):
                continue
            if self._options.prune or (entry is not None and entry.ours):
                self._going.add(pair)
            else:
                gpus = "not in the fleet file, though on GPUs of the fleet"
                self._foreign[pair] = ADOPTED if entry else gpus

    def _others(self, resource: str) -> bool:
        """Whether others have limits, on account of which a registered limit cannot be changed."""
        others = {
            self._projects.name(one["project_id"]) if one["project_id"] else "a domain"
            for one in self._limits[resource]
            if (resource, one["project_id"]) not in self._wanted.keys() | self._going
        }
        if others:
            reason = (
                f"it stays {self._registered[resource][_REGISTERED]}, not "
                f"{self._defaults[resource]}: Keystone does not change it while others than the "
                f"fleet file's projects have limits of their own ({', '.join(sorted(others))}); "
                "delete these, or name the projects in the fleet file"
            )
            self._part.held.append(Held(Kind.REGISTERED_LIMIT, resource, reason))
        return bool(others)

    def _name(self, resource: str, project: str) -> str:
        return f"{resource} of {self._projects.name(project)}"

    def _hold(self, name: str, reason: str) -> None:
        self._part.held.append(Held(Kind.PROJECT_LIMIT, name, reason))


def perform(api: Api, ledger: Ledger, change: Change) -> None:
    """Do one step, from whatever state it finds.

    :raises Refused: if Keystone does not do it
    """
    target: Target = change.target
    entry = Entry(change.kind, target.resource, target.project or "")
    if target.value is None:
        one = _find(api, target, target.project)
        if one is not None:
            _delete(api, change.kind, one)
        ledger.gone(entry.key)
    elif change.kind is Kind.PROJECT_LIMIT:
        _set(api, ledger, target, entry, target.value)
    else:
        _set_registered(api, ledger, target, entry, target.value)


def _set_registered(api: Api, ledger: Ledger, target: Target, entry: Entry, value: int) -> None:
    one = _find(api, target, None)
    if one is None or one[VALUES[Kind.REGISTERED_LIMIT]] == value:
        _set(api, ledger, target, entry, value)
    else:
        anew = {p: number for p, number in target.again.items() if number is not None}
        # They are ours to make anew, whoever is killed before that.
        ledger.intend(*(Entry(Kind.PROJECT_LIMIT, target.resource, project) for project in anew))
        for project in target.again:
            limit = _find(api, target, project)
            if limit is not None:
                _delete(api, Kind.PROJECT_LIMIT, limit)
        _set(api, ledger, target, entry, value)
        for project, number in anew.items():
            _set(
                api,
                ledger,
                Target(target.place, target.resource, number, project),
                Entry(Kind.PROJECT_LIMIT, target.resource, project),
                number,
            )


def _set(api: Api, ledger: Ledger, target: Target, entry: Entry, value: int) -> None:
    """Make one limit, or give it its value."""
    kind, name = entry.kind, VALUES[entry.kind]
    one = _find(api, target, entry.part or None)
    if one is None:
        ledger.intend(entry)
        one = _create(api, ledger, target, entry, value)
    if one[name] != value:
        body = {path(kind).strip("/")[:-1]: {name: value}}
        changed = api.send("identity", "PATCH", path(kind, one["id"]), body).body
        one = next(iter(changed.values()))
        if one[name] != value:
            # Keystone takes no change of a project's limit to 0, and says nothing
            # (``update_limit`` in keystone/limit/backends/sql.py).
            ledger.intend(entry)
            _delete(api, kind, one)
            one = _create(api, ledger, target, entry, value)
    if ledger.entry(entry.key) is not None:
        ledger.made(Entry(kind, entry.name, entry.part, one["id"]))


def _create(
    api: Api, ledger: Ledger, target: Target, entry: Entry, value: int
) -> Mapping[str, Any]:
    more = {"project_id": entry.part} if entry.part else {}
    try:
        return target.place.create(api, entry.kind, value, resource_name=entry.name, **more)
    except Refused as refused:
        one = _find(api, target, entry.part or None) if refused.status == 409 else None
        if one is None:
            ledger.gone(entry.key)
            raise
        if not refused.again:
            ledger.found(Entry(entry.kind, entry.name, entry.part, one["id"]))
        return one


def _find(api: Api, target: Target, project: str | None) -> Mapping[str, Any] | None:
    """A limit as it is now."""
    if project is None:
        kind, wanted = Kind.REGISTERED_LIMIT, {"resource_name": target.resource}
    else:
        kind = Kind.PROJECT_LIMIT
        wanted = {"resource_name": target.resource, "project_id": project}
    found = target.place.find(api, kind, **wanted)
    return found[0] if found else None


def _delete(api: Api, kind: Kind, one: Mapping[str, Any]) -> None:
    try:
        api.send("identity", "DELETE", path(kind, one["id"]))
    except Refused as refused:
        if refused.status != 404:
            raise
