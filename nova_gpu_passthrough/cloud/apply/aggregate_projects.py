# SPDX-License-Identifier: Apache-2.0
"""The metadata of an aggregate whose hosts only some projects use.

Each project has its own key, ``filter_tenant_id:ID``: Nova's AggregateMultiTenancyIsolation reads
all keys that begin with ``filter_tenant_id``. A list of ids in one value also works there, but a
value has at most 255 characters, the ids of seven projects, and ``[scheduler]
limit_tenants_to_placement_aggregate`` compares values as a whole (``require_tenant_aggregate`` in
nova/scheduler/request_filter.py). With the id in the key, the change of one project leaves the
other keys alone.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from nova_gpu_passthrough.cloud.apply.projects import Projects, UnknownProject
from nova_gpu_passthrough.fleet.desired_state import Aggregate
from nova_gpu_passthrough.fleet.isolation import NOBODY, project_ids
from nova_gpu_passthrough.nova_rules.filters.aggregate_filters import TENANT_KEY, is_tenant_key


def resolve(
    desired: Aggregate,
    current: Mapping[str, str],
    projects: Projects,
    skip: Callable[[str], None],
) -> Aggregate:
    """Return a desired aggregate with the metadata that its projects need.

    If none of the projects exists, nobody may use the hosts.

    :param current: the aggregate's metadata now, which stays if it says the same in another form
    :param skip: gets a reason for each project that does not exist
    """
    if desired.projects is None:
        return desired
    ids = set()
    for project in desired.projects:
        try:
            ids.add(projects.id(project))
        except UnknownProject as error:
            skip(f"{error}, so it may not use the hosts; run apply again once it exists")
    if project_ids(current) == frozenset(ids):
        keys = {key: value for key, value in current.items() if is_tenant_key(key)}
    else:
        keys = {f"{TENANT_KEY}:{one}": one for one in sorted(ids or {NOBODY})}
    return dataclasses.replace(desired, metadata={**desired.metadata, **keys})


def document(
    zone_item: Mapping[str, Any],
    hosts: Iterable[str],
    metadata: Mapping[str, str],
    name: Callable[[str], str],
) -> dict[str, Any]:
    """Return an aggregate as a diff shows it, with the names of its projects.

    :param zone_item: empty, or the availability zone by its key
    :param name: returns the name of a project's id
    """
    ids = project_ids(metadata)
    others = {key: value for key, value in sorted(metadata.items()) if not is_tenant_key(key)}
    return {
        **zone_item,
        "hosts": [*hosts],
        **({} if ids is None else {"projects": sorted(map(name, ids))}),
        "metadata": others,
    }
