# SPDX-License-Identifier: Apache-2.0
"""Hosts that only some projects use.

Nova's AggregateMultiTenancyIsolation passes a host whose aggregates have metadata that begins with
``filter_tenant_id`` only for the projects in its values. ``[scheduler]
limit_tenants_to_placement_aggregate`` is no alternative: it keeps the named projects on these hosts
with all their servers, also those without GPUs, and does not keep other projects away
(``require_tenant_aggregate`` in nova/scheduler/request_filter.py).
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from nova_gpu_passthrough.fleet.desired_state import ProjectName
from nova_gpu_passthrough.fleet.model import FleetFile, HostGroup, Mode
from nova_gpu_passthrough.fleet.offers import Note
from nova_gpu_passthrough.fleet.settings import Settings
from nova_gpu_passthrough.nova_rules.filters.aggregate_filters import is_tenant_key

if TYPE_CHECKING:
    from nova_gpu_passthrough.fleet.flavors import FlavorPlan
    from nova_gpu_passthrough.fleet.resolve import ResolvedFleet

FILTER = "AggregateMultiTenancyIsolation"
#: Stands for no project: without any key Nova would let every project use the hosts.
NOBODY = "none"


def project_ids(metadata: Mapping[str, str]) -> frozenset[str] | None:
    """Return the ids of the projects that may use the hosts; None: every project may."""
    values = [value for key, value in metadata.items() if is_tenant_key(key)]
    if not values:
        return None
    return frozenset(one.strip() for value in values for one in value.split(",")) - {NOBODY}


def settings(file: FleetFile) -> Settings:
    """Return the settings of a file, with the filter if a group names projects."""
    given = file.settings
    if FILTER in given.enabled_filters or not any(group.projects for group in file.groups):
        return given
    # First, because it is fast and the same for all servers of a request.
    return dataclasses.replace(given, enabled_filters=(FILTER, *given.enabled_filters))


def projects(file: FleetFile, group: HostGroup) -> tuple[ProjectName, ...] | None:
    """Return the projects of a group, with the domains that the file's projects have.

    None: every project may use its hosts.
    """
    domains = {project.name: project.domain for project in file.projects}
    return tuple(ProjectName(name, domains.get(name)) for name in group.projects) or None


def notes(resolved: "ResolvedFleet", plan: "FlavorPlan") -> Iterator[Note]:
    """Yield notes about projects with flavors but no hosts for them, and the other way round."""
    file = resolved.file
    owners = {group.name: projects(file, group) for group in file.groups}
    #: The groups of a GPU flavor's hosts.
    groups = {
        name: {resolved.groups[host].name for host in hosts} for name, hosts in plan.hosts.items()
    }
    for project in file.projects:
        name = ProjectName(project.name, project.domain)
        barred = [
            flavor.name
            for flavor in plan.flavors
            if name in (flavor.projects or ())
            and groups.get(flavor.name)
            and all(name not in (owners[group] or (name,)) for group in groups[flavor.name])
        ]
        if barred:
            yield Note(
                None,
                f"project {project.name} may use {', '.join(barred)}, but all hosts that can boot "
                "them are for other projects (groups[].projects)",
            )
    for group in file.groups:
        for owner in owners[group.name] or ():
            usable = (
                flavor
                for flavor in plan.flavors
                if flavor.projects is None or owner in flavor.projects
            )
            if group.mode is Mode.PASSTHROUGH and not any(
                group.name in groups.get(flavor.name, ()) for flavor in usable
            ):
                yield Note(
                    None,
                    f"group {group.name} is for project {owner.name}, which may use no flavor for "
                    "its GPUs: give it some below projects",
                )
