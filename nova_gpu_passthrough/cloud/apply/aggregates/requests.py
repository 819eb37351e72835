# SPDX-License-Identifier: Apache-2.0
"""Makes, changes and deletes host aggregates."""

from nova_gpu_passthrough.cloud.apply.aggregates import model
from nova_gpu_passthrough.cloud.apply.aggregates.model import ZONE, Found, Target, read
from nova_gpu_passthrough.cloud.apply.api import Api, Refused
from nova_gpu_passthrough.cloud.apply.change import Action, Change, Entry, Key, Kind
from nova_gpu_passthrough.cloud.apply.record import Ledger


def perform(api: Api, ledger: Ledger, change: Change) -> None:
    """Do one step, from whatever state it finds.

    A host that Nova refuses does not keep the others out.

    :raises Refused: if Nova does not do it
    """
    target: Target = change.target
    if change.action is Action.CREATE:
        _create(api, ledger, change.name, target.zone)
    one = read(api).get(change.name)
    if one is None or target.id not in (None, one.id):
        # Somebody deleted it, so there is nothing to take out of it; or it is to be made anew.
        if change.action is Action.DELETE:
            ledger.gone(*_keys(ledger, change.name))
        return
    _set_zone(api, ledger, one, target.zone)
    _set_metadata(api, ledger, one, target)
    _add_hosts(api, ledger, one, target.add)
    if target.add or target.tell:
        for provider in model.missing(api, one.uuid, {*target.add, *target.tell}).values():
            model.add(api, one.uuid, provider)
    for host in set(target.remove) & set(one.hosts):
        _act(api, one, "remove_host", {"host": host}, fine=404)
        ledger.gone(Key(Kind.AGGREGATE_HOST, one.name, host))
    if change.action is Action.DELETE:
        try:
            api.send("compute", "DELETE", f"/os-aggregates/{one.id}")
        except Refused as refused:
            if refused.status != 404:
                raise
        ledger.gone(*_keys(ledger, one.name))


def _create(api: Api, ledger: Ledger, name: str, zone: str | None) -> None:
    entry = Entry(Kind.AGGREGATE, name)
    ours = [entry, *([Entry(Kind.AGGREGATE_METADATA, name, ZONE)] if zone else [])]
    ledger.intend(*ours)
    try:
        body = {"aggregate": {"name": name, "availability_zone": zone}}
        answer = api.send("compute", "POST", "/os-aggregates", body)
    except Refused as refused:
        one = read(api).get(name) if refused.status == 409 else None
        if one is None:
            ledger.gone(*(entry.key for entry in ours))
            raise
        if refused.again:
            ledger.made(Entry(Kind.AGGREGATE, name, id=one.id), *ours[1:])
        else:
            ledger.gone(*(entry.key for entry in ours))
            ledger.found(Entry(Kind.AGGREGATE, name, id=one.id))
        return
    number = str(answer.body["aggregate"]["id"])
    ledger.made(Entry(Kind.AGGREGATE, name, id=number), *ours[1:])


def _set_zone(api: Api, ledger: Ledger, one: Found, zone: str | None) -> None:
    if zone and one.zone != zone:
        entry = Entry(Kind.AGGREGATE_METADATA, one.name, ZONE)
        body = {"aggregate": {ZONE: zone}}
        api.send("compute", "PUT", f"/os-aggregates/{one.id}", body)
        ledger.made(entry)


def _set_metadata(api: Api, ledger: Ledger, one: Found, target: Target) -> None:
    values: dict[str, str | None] = {
        key: value for key, value in target.metadata.items() if one.metadata.get(key) != value
    }
    entries = [Entry(Kind.AGGREGATE_METADATA, one.name, key) for key in values]
    gone = [key for key in target.without if key in one.metadata]
    if values or gone:
        ledger.intend(*entries)
        _act(api, one, "set_metadata", {"metadata": values | dict.fromkeys(gone)})
        ledger.made(*entries)
    ledger.gone(*(Key(Kind.AGGREGATE_METADATA, one.name, key) for key in target.without))


def _add_hosts(api: Api, ledger: Ledger, one: Found, hosts: tuple[str, ...]) -> None:
    entries = {
        host: Entry(Kind.AGGREGATE_HOST, one.name, host) for host in hosts if host not in one.hosts
    }
    ledger.intend(*entries.values())
    reasons: list[Refused] = []
    for host, entry in entries.items():
        try:
            _act(api, one, "add_host", {"host": host})
        except Refused as refused:
            now = read(api).get(one.name) if refused.status == 409 else None
            if now is None or host not in now.hosts:
                ledger.gone(entry.key)
                reasons.append(refused)
                continue
            if not refused.again:
                ledger.found(entry)
                continue
        ledger.made(entry)
    if reasons:
        raise reasons[0]


def _act(
    api: Api, one: Found, action: str, body: dict[str, object], fine: int | None = None
) -> None:
    try:
        api.send("compute", "POST", f"/os-aggregates/{one.id}/action", {action: body})
    except Refused as refused:
        if refused.status != fine:
            raise


def _keys(ledger: Ledger, name: str) -> list[Key]:
    """All that the record says of an aggregate."""
    kinds = (Kind.AGGREGATE, Kind.AGGREGATE_HOST, Kind.AGGREGATE_METADATA)
    return [e.key for e in ledger.record.entries if e.kind in kinds and e.name == name]
