# SPDX-License-Identifier: Apache-2.0
"""Makes, changes and deletes flavors.

A flavor is made private where it shall be private, then gets its extra specs, then its projects
get access: no tenant ever sees it without the extra specs. Of a public one Nova allows no such
order: for a moment it is there without them.
"""

import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from openstack import exceptions

from nova_gpu_passthrough.cloud.apply.api import Api, Refused
from nova_gpu_passthrough.cloud.apply.change import Action, Change, Entry, Key, Kind
from nova_gpu_passthrough.cloud.apply.flavors.model import Sizes, Target
from nova_gpu_passthrough.cloud.apply.record import Ledger

#: Extra specs that Nova's libvirt driver obeys and Nova's validation has forgotten, so that it
#: refuses them (nova/api/validation/extra_specs/hw.py of Nova 31 to 34).
_FORGOTTEN = ("hw:maxphysaddr_mode", "hw:maxphysaddr_bits")
#: The last microversion without validation.
_UNCHECKED = "2.85"


def perform(api: Api, ledger: Ledger, change: Change) -> None:
    """Do one step, from whatever state it finds.

    :raises Refused: if Nova does not do it
    """
    target: Target = change.target
    if change.action is Action.DELETE:
        _delete(api, target.id or "")
        ledger.gone(Key(Kind.FLAVOR, change.name))
        return
    number = target.id or str(uuid.uuid4())
    entry = Entry(Kind.FLAVOR, change.name, id=number)
    if change.action is not Action.UPDATE:
        ledger.intend(entry)
    one = _show(api, number)
    if one is not None and change.action is Action.REPLACE and _sizes(one) != target.sizes:
        _delete(api, number)
        one = None
    if one is None and change.action is Action.UPDATE:
        # Somebody deleted it: the next run makes it anew.
        return
    if one is None:
        one = _create(api, ledger, entry, target)
        try:
            _set_extra_specs(api, number, one["extra_specs"], target.extra_specs or {})
        except Refused:
            # Without them it is another flavor, which nobody shall have.
            _delete(api, number)
            ledger.gone(entry.key)
            raise
    elif target.extra_specs is not None:
        _set_extra_specs(api, number, one["extra_specs"], target.extra_specs)
    if target.access is not None:
        _set_access(api, number, target.access)
    if ledger.entry(entry.key) is not None:
        ledger.made(entry)


def _create(api: Api, ledger: Ledger, entry: Entry, target: Target) -> Mapping[str, Any]:
    sizes = target.sizes
    flavor = {
        "id": entry.id,
        "name": entry.name,
        "vcpus": sizes.vcpus,
        "ram": sizes.ram_mib,
        "disk": sizes.disk_gib,
        "OS-FLV-EXT-DATA:ephemeral": sizes.ephemeral_gib,
        "swap": sizes.swap_mib,
        "os-flavor-access:is_public": sizes.public,
    }
    try:
        body = api.send("compute", "POST", "/flavors", {"flavor": flavor}).body["flavor"]
    except Refused as refused:
        # The id is ours alone, whoever else makes flavors of that name.
        one = _show(api, entry.id or "") if refused.status == 409 else None
        if one is None or one["name"] != entry.name:
            ledger.gone(entry.key)
            raise
        return one
    made: Mapping[str, Any] = {"extra_specs": {}, **body}
    return made


def _set_extra_specs(
    api: Api, number: str, found: Mapping[str, str], wanted: Mapping[str, str]
) -> None:
    path = f"/flavors/{number}/os-extra_specs"
    new = {key: value for key, value in wanted.items() if found.get(key) != value}
    unchecked = {key: new.pop(key) for key in _FORGOTTEN if key in new}
    if new:
        api.send("compute", "POST", path, {"extra_specs": new})
    if unchecked:
        api.send("compute", "POST", path, {"extra_specs": unchecked}, version=_UNCHECKED)
    for key in sorted(found.keys() - wanted.keys()):
        _without(api, "DELETE", f"{path}/{quote(key, safe='')}")


def _set_access(api: Api, number: str, wanted: frozenset[str]) -> None:
    body = api.nova(f"/flavors/{number}/os-flavor-access")
    found = {entry["tenant_id"] for entry in body["flavor_access"]}
    for project in sorted(wanted - found):
        try:
            action = {"addTenantAccess": {"tenant": project}}
            api.send("compute", "POST", f"/flavors/{number}/action", action)
        except Refused as refused:
            if refused.status != 409:
                raise
    for project in sorted(found - wanted):
        action = {"removeTenantAccess": {"tenant": project}}
        _without(api, "POST", f"/flavors/{number}/action", action)


def _show(api: Api, number: str) -> Mapping[str, Any] | None:
    try:
        flavor: Mapping[str, Any] = api.nova(f"/flavors/{quote(number, safe='')}")["flavor"]
    except exceptions.NotFoundException:
        return None
    return flavor


def _sizes(flavor: Mapping[str, Any]) -> Sizes:
    return Sizes(
        flavor["vcpus"],
        flavor["ram"],
        flavor["disk"],
        flavor["OS-FLV-EXT-DATA:ephemeral"],
        flavor["swap"] or 0,
        bool(flavor["os-flavor-access:is_public"]),
    )


def _delete(api: Api, number: str) -> None:
    _without(api, "DELETE", f"/flavors/{quote(number, safe='')}")


def _without(api: Api, method: str, path: str, body: Any = None) -> None:
    """Take something away that may have gone already."""
    try:
        api.send("compute", method, path, body)
    except Refused as refused:
        if refused.status != 404:
            raise
