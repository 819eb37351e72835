# SPDX-License-Identifier: Apache-2.0
"""What a schema cannot tell of a fleet file: parts that contradict each other."""

import string
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from nova_gpu_passthrough.fleet.model import FlavorRule, FleetFile, HostGroup, Mode, QuotaDriver

#: What the template of a flavor's name may hold.
PLACEHOLDERS = ("alias", "model", "count", "vcpus", "ram_gib", "disk_gib")
#: Keys of quotas that are no aliases.
AMOUNTS = ("servers", "vcpus", "ram_mib", "disk_gib")
#: Those that nova.quota.DbQuotaDriver counts.
_NOVA_AMOUNTS = ("servers", "vcpus", "ram_mib")
#: Aggregate metadata that other keys of a group stand for.
_METADATA = {"gpu_mode": "mode", "availability_zone": "availability_zone"}
#: Extra specs that other keys of a flavor rule stand for.
_EXTRA_SPECS = {
    "pci_passthrough:alias": "model and counts, or write the flavor out below fixed_flavors",
    "hw:numa_nodes": "numa_nodes",
    "hw:cpu_policy": "cpu_policy",
    "hw:mem_page_size": "page_size",
}


class Contradiction(NamedTuple):
    """What is wrong at a key, and how to fix it."""

    keys: tuple[str | int, ...]
    text: str


def aggregate_name(group: HostGroup) -> str:
    """What the group's host aggregate is called."""
    return group.aggregate or f"gpu-{group.name}"


def contradictions(file: FleetFile) -> Iterator[Contradiction]:
    """All of them, in the order of the file's keys."""
    yield from _groups(file)
    yield from _aliases(file)
    for number, rule in enumerate(file.flavors):
        yield from _flavor(rule, ("flavors", number), file.groups)
    yield from _twice([flavor.name for flavor in file.fixed_flavors], "fixed_flavors", "name")
    yield from _twice([(p.name, p.domain) for p in file.projects], "projects", "name")
    yield from _quotas(file)


def _groups(file: FleetFile) -> Iterator[Contradiction]:
    yield from _twice([group.name for group in file.groups], "groups", "name")
    yield from _twice([aggregate_name(group) for group in file.groups], "groups", "aggregate")
    for number, group in enumerate(file.groups):
        for key, instead in _METADATA.items():
            if key in group.metadata:
                yield Contradiction(
                    ("groups", number, "metadata", key), f"is made from the group's {instead}"
                )


def _aliases(file: FleetFile) -> Iterator[Contradiction]:
    stands_for = [(rule.model, rule.kind, rule.device_type) for rule in file.aliases]
    yield from _twice(stands_for, "aliases", "model")
    yield from _twice([rule.name for rule in file.aliases], "aliases", "name")
    classes = [rule.resource_class and rule.resource_class.upper() for rule in file.aliases]
    yield from _twice(classes, "aliases", "resource_class")
    for number, rule in enumerate(file.aliases):
        if rule.name in AMOUNTS:
            yield Contradiction(
                ("aliases", number, "name"), f"{rule.name} means something else in quotas"
            )


def _flavor(
    rule: FlavorRule, place: tuple[str | int, ...], groups: Iterable[HostGroup]
) -> Iterator[Contradiction]:
    modes = {group.name: group.mode for group in groups}
    for number, name in enumerate(rule.groups or ()):
        keys = (*place, "groups", number)
        if name not in modes:
            known = ", ".join(modes)
            yield Contradiction(keys, f"there is no group {name}, expected one of: {known}")
        elif modes[name] is not Mode.PASSTHROUGH:
            yield Contradiction(
                keys,
                f"group {name} is of mode {modes[name]}, whose flavors are written out below "
                "fixed_flavors",
            )
    reason = _bad_template(rule.name)
    if reason:
        known = ", ".join(f"{{{word}}}" for word in PLACEHOLDERS)
        yield Contradiction((*place, "name"), f"{reason}; expected a text with any of {known}")
    for key, instead in _EXTRA_SPECS.items():
        if key in rule.extra_specs:
            yield Contradiction(
                (*place, "extra_specs", key), f"is made from other keys: set {instead}"
            )


def _bad_template(text: str) -> str:
    """Why a text is no template of flavor names; empty if it is one."""
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError as error:
        return f"{text!r}: {error}"
    for _, name, form, conversion in parts:
        if name is None:
            continue
        if name not in PLACEHOLDERS:
            return f"{text!r}: unknown placeholder {{{name}}}"
        if form or conversion:
            return f"{text!r}: a format after {{{name}}}"
    return ""


def _quotas(file: FleetFile) -> Iterator[Contradiction]:
    places: list[tuple[tuple[str | int, ...], Mapping[str, int]]] = [
        (("quotas", "default"), file.quotas.default)
    ]
    places += [
        (("projects", number, "quotas"), project.quotas)
        for number, project in enumerate(file.projects)
    ]
    for place, quotas in places:
        for key in quotas:
            if key not in _NOVA_AMOUNTS and file.quotas.driver is QuotaDriver.NOVA:
                what = "disk" if key in AMOUNTS else "GPUs"
                yield Contradiction(
                    (*place, key),
                    f"Nova's own quotas do not count {what}, expected one of "
                    f"{', '.join(_NOVA_AMOUNTS)}; quotas.driver: unified-limits has limits on "
                    f"{what}",
                )
            elif key in AMOUNTS and key not in file.quotas.default:
                yield Contradiction(
                    (*place, key),
                    f"a project can differ only from a default: add {key} to quotas.default",
                )


def _twice(values: Iterable[object], where: str, key: str) -> Iterator[Contradiction]:
    """Values that must be there once; None is no value."""
    seen: dict[object, int] = {}
    for number, value in enumerate(values):
        if value is None:
            continue
        first = seen.setdefault(value, number)
        if first != number:
            words = value if isinstance(value, tuple) else (value,)
            what = " ".join(str(word) for word in words if word)
            yield Contradiction(
                (where, number, key), f"{what} is there twice: see {where}[{first}]"
            )
