# SPDX-License-Identifier: Apache-2.0
"""Names of flavors, and who may use them."""

import fnmatch
from collections.abc import Iterable, Iterator

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet.desired import ProjectName
from nova_gpu_passthrough.fleet.flavors.draft import Draft
from nova_gpu_passthrough.fleet.model import FlavorRule, FleetFile
from nova_gpu_passthrough.fleet.store import place

_GIB = 1024
#: Nova's limit (nova/api/validation/parameter_types.py).
_MAX_NAME = 255


def name(rule: FlavorRule, draft: Draft, ram_mib: int) -> str:
    """What the rule's template comes to.

    :param ram_mib: 0 if it is not known
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
    """Projects whose patterns match the name of a flavor."""
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
    """Check that names are Nova's and apart, and that patterns match something.

    :param names: those of all flavors, the refused ones too, and the keys that they come from
    :raises UserError: with line and key
    """
    seen: dict[str, tuple[str | int, ...]] = {}
    for flavor, keys in names:
        if not 0 < len(flavor) <= _MAX_NAME or flavor != flavor.strip():
            raise UserError(
                f"{place(file, *keys)}: {flavor!r} is no name of a flavor, expected 1 to "
                f"{_MAX_NAME} characters"
            )
        if flavor in seen:
            same = "" if seen[flavor] == keys else f" and by {place(file, *seen[flavor])}"
            raise UserError(
                f"{place(file, *keys)}: {flavor} would be made twice{same}; put {{alias}} and "
                "{count} into the template, or name them apart"
            )
        seen[flavor] = keys
    for number, project in enumerate(file.projects):
        for index, pattern in enumerate(project.flavors):
            if not any(fnmatch.fnmatchcase(flavor, pattern) for flavor in seen):
                raise UserError(
                    f"{place(file, 'projects', number, 'flavors', index)}: {pattern} matches no "
                    f"flavor, expected a pattern for some of: {', '.join(seen)}"
                )


def without_flavor(file: FleetFile, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Projects and patterns that match none of these flavors."""
    known = list(names)
    for project in file.projects:
        for pattern in project.flavors:
            if not any(fnmatch.fnmatchcase(name, pattern) for name in known):
                yield project.name, pattern
