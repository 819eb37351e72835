# SPDX-License-Identifier: Apache-2.0
"""What is to be made, changed and deleted of flavors.

A flavor of the fleet file has exactly the extra specs and the access that the file says. Servers
keep a copy of the flavor that they were made with; so a flavor that servers have is not changed
unless somebody asked for it, since a server would not be any more what its flavor says.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from nova_gpu_passthrough.cloud.apply.api import Api
from nova_gpu_passthrough.cloud.apply.change import (
    ADOPTED,
    Action,
    Change,
    Entry,
    Held,
    Key,
    Kind,
    Options,
    Origin,
    Part,
    complete,
    reconciled,
)
from nova_gpu_passthrough.cloud.apply.flavors.model import Sizes, Target, document, users
from nova_gpu_passthrough.cloud.apply.projects import Projects, UnknownProject
from nova_gpu_passthrough.cloud.view import flavors as view
from nova_gpu_passthrough.cloud.view.model import CloudFlavor
from nova_gpu_passthrough.fleet.desired import Flavor

ALIAS = "pci_passthrough:alias"
_RESOURCES = re.compile(r"resources\w*:(.+)")
_ALLOW = "add --change-used to do it all the same"


def plan(
    api: Api,
    projects: Projects,
    desired: Iterable[Flavor],
    aliases: Mapping[str, str],
    options: Options,
) -> Part:
    """Compare the cloud's flavors with those desired.

    :param aliases: resource classes by alias name, which tell GPU flavors
    """
    part = Part()
    found = {flavor.name: flavor for flavor in view.read(api)}
    wanted = {flavor.name: flavor for flavor in desired}
    keys = {Key(Kind.FLAVOR, name) for name in wanted}
    there: dict[Key, str | None] = {Key(Kind.FLAVOR, n): one.id for n, one in found.items()}
    entries = {e.key: e for e in reconciled(options.known(Kind.FLAVOR), there, keys)}
    ids = {flavor.id for flavor in found.values()}
    unknown: dict[str, list[str]] = {}
    for name, flavor in wanted.items():
        key = Key(Kind.FLAVOR, name)
        one, entry = found.get(name), entries.get(key)
        target = _target(flavor, projects, unknown)
        if one is None:
            number = entry.id if entry is not None and entry.id not in ids else None
            _create(name, replace(target, id=number), projects, part)
        elif not _update(api, one, replace(target, id=one.id), entry, projects, options, part):
            # Nothing is missing of it.
            entries[key] = complete(entries[key])
    for one in found.values():
        if one.name not in wanted:
            entry = entries.get(Key(Kind.FLAVOR, one.name))
            _left(api, one, entry, _asks(one, aliases), projects, options, part)
    for reason, names in unknown.items():
        text = f"{reason}, so that it gets no access; run apply again once there is"
        part.held.append(Held(Kind.FLAVOR, ", ".join(names), text))
    part.entries += entries.values()
    return part


def _target(flavor: Flavor, projects: Projects, unknown: dict[str, list[str]]) -> Target:
    """What it shall be; flavors are noted by what is wrong with their projects."""
    access: set[str] = set()
    for project in flavor.projects or ():
        try:
            access.add(projects.id(project))
        except UnknownProject as error:
            unknown.setdefault(str(error), []).append(flavor.name)
    private = flavor.projects is not None
    return Target(
        None, Sizes.wanted(flavor), flavor.extra_specs, frozenset(access) if private else None
    )


def _create(name: str, target: Target, projects: Projects, part: Part) -> None:
    after = document(target.sizes, target.extra_specs or {}, target.access, projects)
    part.changes.append(Change(Kind.FLAVOR, name, Action.CREATE, None, after, target))


def _update(
    api: Api,
    one: CloudFlavor,
    target: Target,
    entry: Entry | None,
    projects: Projects,
    options: Options,
    part: Part,
) -> bool:
    """Bring a flavor to its target; whether anything is to be done."""
    sizes, access = Sizes.of(one), None if one.public else frozenset(one.projects or ())
    replaced, respecified = sizes != target.sizes, one.extra_specs != target.extra_specs
    pending = entry is not None and entry.origin is Origin.PENDING
    if (replaced or respecified) and not (pending or options.change_used):
        used = users(api, one.id)
        if used:
            what = _differing(one, target)
            reason = f"{used}, so that {what} stay as they are; {_ALLOW}"
            part.held.append(Held(Kind.FLAVOR, one.name, reason))
            # What cannot be had is given up; who may use it can still be changed.
            kept = access if replaced and one.public != target.sizes.public else target.access
            target = replace(target, sizes=sizes, extra_specs=one.extra_specs, access=kept)
            replaced = respecified = False
    if not (replaced or respecified or access != target.access):
        return False
    before = document(sizes, one.extra_specs, access, projects)
    after = document(target.sizes, target.extra_specs or {}, target.access, projects)
    action = Action.REPLACE if replaced else Action.UPDATE
    part.changes.append(Change(Kind.FLAVOR, one.name, action, before, after, target))
    return True


def _differing(one: CloudFlavor, target: Target) -> str:
    """Names of what differs of sizes and extra specs."""
    sizes, specs = Sizes.of(one), target.extra_specs or {}
    names = [name for name, value in vars(target.sizes).items() if value != getattr(sizes, name)]
    names += sorted(
        key for key in {*specs, *one.extra_specs} if specs.get(key) != one.extra_specs.get(key)
    )
    return ", ".join(names)


def _left(
    api: Api,
    one: CloudFlavor,
    entry: Entry | None,
    asks: str | None,
    projects: Projects,
    options: Options,
    part: Part,
) -> None:
    """A flavor that the fleet file does not name, or names no more."""
    if entry is None and asks is None:
        return
    if not (options.prune or (entry is not None and entry.ours)):
        reason = ADOPTED if entry is not None else f"not in the fleet file, and asks for {asks}"
        part.foreign(Kind.FLAVOR, one.name, reason)
        return
    used = None if options.change_used else users(api, one.id)
    if used:
        reason = f"not in the fleet file, but {used}; {_ALLOW}"
        part.held.append(Held(Kind.FLAVOR, one.name, reason))
        return
    access = None if one.public else frozenset(one.projects or ())
    before = document(Sizes.of(one), one.extra_specs, access, projects)
    target = Target(one.id, Sizes.of(one), None, None)
    part.deletions.append(Change(Kind.FLAVOR, one.name, Action.DELETE, before, None, target))


def _asks(flavor: CloudFlavor, aliases: Mapping[str, str]) -> str | None:
    """Which of the fleet's GPUs a flavor asks for; None if for none."""
    for request in flavor.extra_specs.get(ALIAS, "").split(","):
        name = request.split(":")[0].strip()
        if name in aliases:
            return f"alias {name}"
    for key in flavor.extra_specs:
        named = _RESOURCES.fullmatch(key)
        if named and named[1] in aliases.values():
            return named[1]
    return None
