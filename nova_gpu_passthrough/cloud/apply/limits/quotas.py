# SPDX-License-Identifier: Apache-2.0
"""Nova's own quotas: what is to be changed, and the changing.

Nova shows what a project may use, not whether that was set for it; so a quota that equals the
default is set as well where the default is about to change. It has no way to unset a single one:
what the fleet file names no more gets the value of the default, and a default stays as it is.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nova_gpu_passthrough.cloud.apply.api import Api
from nova_gpu_passthrough.cloud.apply.change import (
    Action,
    Change,
    Entry,
    Held,
    Key,
    Kind,
    Options,
    Part,
)
from nova_gpu_passthrough.cloud.apply.projects import Projects, UnknownProject
from nova_gpu_passthrough.cloud.apply.record import Ledger
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet.desired import Limit

_CLASS = "/os-quota-class-sets/default"
_KINDS = (Kind.DEFAULT_QUOTA, Kind.PROJECT_QUOTA)


@dataclass(frozen=True)
class Target:
    """What a quota shall be."""

    resource: str
    value: int
    #: An id; None for the default.
    project: str | None = None
    #: Whether that is what projects have of which nothing is said.
    unset: bool = False


def plan(api: Api, projects: Projects, desired: Iterable[Limit], options: Options) -> Part:
    """Compare Nova's quotas with those desired."""
    part, known = Part(), options.known(*_KINDS)
    wanted = _wanted(projects, desired, part)
    if not (wanted or known):
        return part
    before: dict[str, int] = api.nova(_CLASS)["quota_class_set"]
    after = before | {k.name: v for k, v in wanted.items() if k.kind is Kind.DEFAULT_QUOTA}
    for resource in sorted(after):
        if after[resource] != before.get(resource):
            target = Target(resource, after[resource])
            part.changes.append(_change(resource, before.get(resource), target))
    for key in known.keys() - wanted.keys():
        if key.kind is Kind.DEFAULT_QUOTA:
            reason = f"not in the fleet file any more, and stays {before.get(key.name)}"
            part.held.append(Held(key.kind, key.name, f"{reason}: Nova cannot unset it"))
    for project in sorted({key.part for key in (*wanted, *known)} - {""}):
        now: dict[str, int] = api.nova(f"/os-quota-sets/{project}")["quota_set"]
        name = projects.name(project)
        for key in sorted(wanted):
            # What is the default now would go with it.
            led = before.get(key.name) == now.get(key.name) != after.get(key.name)
            if key.part == project and (now.get(key.name) != wanted[key] or led):
                target = Target(key.name, wanted[key], project)
                part.changes.append(_change(f"{key.name} of {name}", now.get(key.name), target))
        for key in sorted(known.keys() - wanted.keys()):
            if key.part == project and now.get(key.name) != after.get(key.name):
                part.entries.append(known[key])
                target = Target(key.name, after[key.name], project, unset=True)
                part.deletions.append(_change(f"{key.name} of {name}", now.get(key.name), target))
    part.entries += (entry for key, entry in known.items() if key in wanted)
    return part


def perform(api: Api, ledger: Ledger, change: Change) -> None:
    """Set one quota.

    :raises Refused: if Nova does not do it
    :raises UserError: if Nova's quotas are not Nova's own
    """
    target: Target = change.target
    entry = Entry(change.kind, target.resource, target.project or "")
    if not target.unset:
        ledger.intend(entry)
    if target.project is None:
        body: dict[str, object] = {"quota_class_set": {target.resource: target.value}}
        answer = api.send("compute", "PUT", _CLASS, body).body["quota_class_set"]
    else:
        # By force: servers that are there count against it, however low it is.
        body = {"quota_set": {target.resource: target.value, "force": True}}
        path = f"/os-quota-sets/{target.project}"
        answer = api.send("compute", "PUT", path, body).body["quota_set"]
    if answer.get(target.resource) != target.value:
        # As with nova.quota.UnifiedLimitsDriver (nova/api/openstack/compute/quota_sets.py).
        raise UserError(
            f"{change.kind} {change.name}: Nova accepts {target.value} and keeps "
            f"{answer.get(target.resource)}, so [quota] driver of nova-api is not "
            "nova.quota.DbQuotaDriver: let quotas.driver in the fleet file be what nova.conf says"
        )
    if target.unset:
        ledger.gone(entry.key)
    else:
        ledger.made(entry)


def _wanted(projects: Projects, desired: Iterable[Limit], part: Part) -> Mapping[Key, int]:
    wanted: dict[Key, int] = {}
    for limit in desired:
        if limit.project is None:
            wanted[Key(Kind.DEFAULT_QUOTA, limit.resource)] = limit.value
            continue
        try:
            number = projects.id(limit.project)
        except UnknownProject as error:
            reason = f"{error}; run apply again once there is"
            part.held.append(Held(Kind.PROJECT_QUOTA, limit.resource, reason))
        else:
            wanted[Key(Kind.PROJECT_QUOTA, limit.resource, number)] = limit.value
    return wanted


def _change(name: str, before: int | None, target: Target) -> Change:
    kind = Kind.DEFAULT_QUOTA if target.project is None else Kind.PROJECT_QUOTA
    notes = (" (the default)" if before == target.value else "", " (the default)" * target.unset)
    old, new = ({"limit": f"{v}{n}"} for v, n in zip((before, target.value), notes, strict=True))
    return Change(kind, name, Action.UPDATE, old, new, target)
