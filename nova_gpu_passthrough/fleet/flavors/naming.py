# SPDX-License-Identifier: Apache-2.0
"""The names of flavors, and the projects that may use them."""

import fnmatch
from collections.abc import Iterable, Iterator

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet.desired_state import ProjectName
from nova_gpu_passthrough.fleet.flavors.draft import FlavorDraft
from nova_gpu_passthrough.fleet.model import FlavorRule, FleetFile
from nova_gpu_passthrough.fleet.store import location

_GIB = 1024
#: Nova's limit (nova/api/validation/parameter_types.py).
_MAX_NAME = 255


def name(rule: FlavorRule, draft: FlavorDraft, ram_mib: int) -> str:
    """Return the name of a flavor by the template of its rule.

    :param ram_mib: the memory of the flavor; 0: unknown
    """
    return rule.name.format(
        alias=draft.alias.name,
        model=draft.alias.model,
        count=draft.count,
        vcpus=draft.vcpus or "?",
        ram_gib=f"{ram_mib / _GIB:g}" if ram_mib else "?",
        disk_gib=rule.disk_gib,
    )


def access(file: FleetFile, flavor: str) -> tuple[ProjectName, ...]:
    """Return the projects whose patterns match the name of a flavor."""
    return tuple(
        sorted(
            {
                ProjectName(project.name, project.domain)
                for project in file.projects
                if any(fnmatch.fnmatchcase(flavor, pattern) for pattern in project.flavors)
            },
            key=lambda project: (project.name, project.domain or ""),
        )
    )


def check(file: FleetFile, names: Iterable[tuple[str, tuple[str | int, ...]]]) -> None:
    """Check that names are valid and unique, and that each project's patterns match one of them.

    :param names: the names of all flavors, including refused ones, with their keys
    :raises UserError: with line and key
    """
    seen: dict[str, tuple[str | int, ...]] = {}
    for flavor, keys in names:
        if not 0 < len(flavor) <= _MAX_NAME or flavor != flavor.strip():
            raise UserError(
                f"{location(file, *keys)}: {flavor!r} is not a valid name of a flavor, expected 1 "
                f"to {_MAX_NAME} characters, not beginning or ending with a space"
            )
        if flavor in seen:
            same = "" if seen[flavor] == keys else f" and by {location(file, *seen[flavor])}"
            raise UserError(
                f"{location(file, *keys)}: there would be two flavors {flavor}{same}; put "
                "{alias} and {count} into the template, or choose other names"
            )
        seen[flavor] = keys
    for number, project in enumerate(file.projects):
        for index, pattern in enumerate(project.flavors):
            if not any(fnmatch.fnmatchcase(flavor, pattern) for flavor in seen):
                raise UserError(
                    f"{location(file, 'projects', number, 'flavors', index)}: {pattern} matches no "
                    f"flavor, expected a pattern that matches one of: {', '.join(seen)}"
                )


def unmatched_patterns(file: FleetFile, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the patterns that match none of these flavors, with their projects."""
    flavors = list(names)
    for project in file.projects:
        for pattern in project.flavors:
            if not any(fnmatch.fnmatchcase(name, pattern) for name in flavors):
                yield project.name, pattern
