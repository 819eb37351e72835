# SPDX-License-Identifier: Apache-2.0
"""Checks of a fleet file that its schema cannot express: keys that contradict each other."""

import string
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from nova_gpu_passthrough.fleet.model import (
    EXTRA_SPEC_FIELDS,
    RACK,
    FlavorRule,
    FleetFile,
    HostGroup,
    Mode,
    QuotaDriver,
)
from nova_gpu_passthrough.nova_rules import alias_string
from nova_gpu_passthrough.nova_rules.filters.aggregate_filters import is_tenant_key

#: The placeholders in the template of a flavor's name.
PLACEHOLDERS = ("alias", "model", "count", "vcpus", "ram_gib", "disk_gib")
#: Keys of quotas besides aliases and resource classes.
AMOUNTS = ("servers", "vcpus", "ram_mib", "disk_gib")
#: The keys that nova.quota.DbQuotaDriver counts.
_NOVA_AMOUNTS = ("servers", "vcpus", "ram_mib")
#: Aggregate metadata that other keys of a group set.
_METADATA = {"gpu_mode": "mode", "availability_zone": "availability_zone"}
#: Levels of failure domains that cannot be named.
_LEVELS = {
    RACK: "has a key of its own: set rack beside domains",
    "host": "is always a failure domain: each host is one",
}
#: Extra specs that other keys of a flavor rule set.
_EXTRA_SPECS = {
    alias_string.EXTRA_SPEC: "model and counts, or define the flavor below fixed_flavors",
    **EXTRA_SPEC_FIELDS,
}


class Contradiction(NamedTuple):
    """A key that contradicts the rest of the file, and how to fix it."""

    keys: tuple[str | int, ...]
    text: str


def contradictions(file: FleetFile) -> Iterator[Contradiction]:
    """Yield all contradictions in the order of the file's keys."""
    yield from _groups(file)
    yield from _hosts(file)
    yield from _aliases(file)
    for number, rule in enumerate(file.flavors):
        yield from _flavor(rule, ("flavors", number), file.groups)
    yield from _twice([flavor.name for flavor in file.fixed_flavors], "fixed_flavors", "name")
    yield from _twice([(p.name, p.domain) for p in file.projects], "projects", "name")
    yield from _quotas(file)


def _groups(file: FleetFile) -> Iterator[Contradiction]:
    yield from _twice([group.name for group in file.groups], "groups", "name")
    yield from _twice([group.aggregate_name for group in file.groups], "groups", "aggregate")
    for number, group in enumerate(file.groups):
        for key, instead in _METADATA.items():
            if key in group.metadata:
                yield Contradiction(
                    ("groups", number, "metadata", key), f"is set from the group's {instead}"
                )
        yield from _group_projects(file, number)


def _hosts(file: FleetFile) -> Iterator[Contradiction]:
    for number, rule in enumerate(file.hosts):
        if not rule.all_domains:
            yield Contradiction(("hosts", number), "has only names, expected also rack or domains")
        for level, text in _LEVELS.items():
            if level in rule.domains:
                yield Contradiction(("hosts", number, "domains", level), text)


def _group_projects(file: FleetFile, number: int) -> Iterator[Contradiction]:
    group, path = file.groups[number], ("groups", number)
    for index, name in enumerate(group.projects):
        keys = (*path, "projects", index)
        first = group.projects.index(name)
        domains = [project.domain for project in file.projects if project.name == name]
        if first != index:
            yield Contradiction(keys, f"{name} occurs twice: see projects[{first}]")
        if len(domains) > 1:
            yield Contradiction(
                keys, f"below projects, {name} has {len(domains)} domains: use the project's id"
            )
    for key in group.metadata if group.projects else ():
        if is_tenant_key(key):
            yield Contradiction((*path, "metadata", key), "is set from the group's projects")


def _aliases(file: FleetFile) -> Iterator[Contradiction]:
    devices = [(rule.model, rule.kind, rule.device_type) for rule in file.aliases]
    yield from _twice(devices, "aliases", "model")
    yield from _twice([rule.name for rule in file.aliases], "aliases", "name")
    classes = [rule.resource_class and rule.resource_class.upper() for rule in file.aliases]
    yield from _twice(classes, "aliases", "resource_class")
    for number, rule in enumerate(file.aliases):
        if rule.name in AMOUNTS:
            yield Contradiction(
                ("aliases", number, "name"), f"{rule.name} has another meaning in quotas"
            )


def _flavor(
    rule: FlavorRule, path: tuple[str | int, ...], groups: Iterable[HostGroup]
) -> Iterator[Contradiction]:
    modes = {group.name: group.mode for group in groups}
    for number, name in enumerate(rule.groups or ()):
        keys = (*path, "groups", number)
        if name not in modes:
            known = ", ".join(modes)
            yield Contradiction(keys, f"there is no group {name}, expected one of: {known}")
        elif modes[name] is not Mode.PASSTHROUGH:
            yield Contradiction(
                keys,
                f"group {name} has mode {modes[name]}; define flavors for it below fixed_flavors",
            )
    reason = _bad_template(rule.name)
    if reason:
        known = ", ".join(f"{{{word}}}" for word in PLACEHOLDERS)
        yield Contradiction((*path, "name"), f"{reason}; expected a template with any of {known}")
    for key, instead in _EXTRA_SPECS.items():
        if key in rule.extra_specs:
            yield Contradiction(
                (*path, "extra_specs", key), f"is set from other keys: set {instead}"
            )


def _bad_template(text: str) -> str:
    """Return why a template of flavor names is invalid; an empty string if it is valid."""
    try:
        fields = list(string.Formatter().parse(text))
    except ValueError as error:
        return f"{text!r}: {error}"
    for _, name, form, conversion in fields:
        if name is None:
            continue
        if name not in PLACEHOLDERS:
            return f"{text!r}: unknown placeholder {{{name}}}"
        if form or conversion:
            return f"{text!r}: format or conversion after {{{name}}}"
    return ""


def _quotas(file: FleetFile) -> Iterator[Contradiction]:
    all_quotas: list[tuple[tuple[str | int, ...], Mapping[str, int]]] = [
        (("quotas", "default"), file.quotas.default)
    ]
    all_quotas += [
        (("projects", number, "quotas"), project.quotas)
        for number, project in enumerate(file.projects)
    ]
    for path, quotas in all_quotas:
        for key in quotas:
            if key not in _NOVA_AMOUNTS and file.quotas.driver is QuotaDriver.NOVA:
                what = "disk" if key in AMOUNTS else "GPUs"
                yield Contradiction(
                    (*path, key),
                    f"Nova's own quotas do not count {what}, expected one of "
                    f"{', '.join(_NOVA_AMOUNTS)}; set quotas.driver: unified-limits to limit "
                    f"{what}",
                )
            elif key in AMOUNTS and key not in file.quotas.default:
                yield Contradiction(
                    (*path, key),
                    f"a project can only override a default: add {key} to quotas.default",
                )


def _twice(values: Iterable[object], where: str, key: str) -> Iterator[Contradiction]:
    """Yield each value that occurs twice; None is not a value."""
    seen: dict[object, int] = {}
    for number, value in enumerate(values):
        if value is None:
            continue
        first = seen.setdefault(value, number)
        if first != number:
            words = value if isinstance(value, tuple) else (value,)
            what = " ".join(str(word) for word in words if word)
            yield Contradiction((where, number, key), f"{what} occurs twice: see {where}[{first}]")
