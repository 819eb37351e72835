# SPDX-License-Identifier: Apache-2.0
"""Makes, changes and deletes unified limits in Keystone."""

from collections.abc import Mapping
from typing import Any

from nova_gpu_passthrough.cloud.apply.api import Api, Refused
from nova_gpu_passthrough.cloud.apply.change import Change, Kind
from nova_gpu_passthrough.cloud.apply.entry import Entry
from nova_gpu_passthrough.cloud.apply.ledger import Ledger
from nova_gpu_passthrough.cloud.apply.limits.unified_model import VALUES, Target, path


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
