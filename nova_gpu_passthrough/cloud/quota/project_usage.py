# SPDX-License-Identifier: Apache-2.0
"""Read the projects of a cloud, and what each of them uses of Placement's resources.

By Keystone's default policies only administrators may list projects, by Placement's everyone may
read the usage of their own project (role reader), and administrators that of all.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from openstack import exceptions

from nova_gpu_passthrough.cloud.quota.caller import Caller
from nova_gpu_passthrough.cloud.view import owners
from nova_gpu_passthrough.cloud.view.reader import CloudReader

#: The one entry of Placement's usages that is no resource class.
_CONSUMERS = "consumer_count"


@dataclass(frozen=True)
class ListedProject:
    """A project in Keystone."""

    id: str
    #: With the id, if another project has the same name.
    name: str


def projects(reader: CloudReader, caller: Caller) -> tuple[tuple[ListedProject, ...], bool]:
    """List all projects, or only the caller's; also return whether these are all projects."""
    own = ListedProject(caller.project_id, caller.project_name)
    try:
        bodies = reader.keystone("/projects")["projects"]
    except exceptions.ForbiddenException:
        return (own,), False
    names = owners.unique_names(bodies)
    return tuple(ListedProject(key, name) for key, name in names.items()), True


def read(reader: CloudReader, project_ids: Sequence[str]) -> dict[str, dict[str, int]]:
    """Read the used amounts by resource class, by project; servers that move count twice."""
    return dict(
        zip(
            project_ids,
            reader.each("usage of projects", project_ids, lambda key: _usage(reader, key)),
            strict=True,
        )
    )


def _usage(reader: CloudReader, project_id: str) -> dict[str, int]:
    by_type = reader.placement("/usages", project_id=project_id)["usages"]
    totals: Counter[str] = Counter()
    for amounts in by_type.values():
        totals.update(amounts)
    del totals[_CONSUMERS]
    return dict(totals)
