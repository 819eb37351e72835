# SPDX-License-Identifier: Apache-2.0
"""Hosts that are reserved for projects, by the metadata of aggregates and the enabled filters."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from nova_gpu_passthrough.cloud.fit.host_judge import enabled_filters
from nova_gpu_passthrough.cloud.view.model import CloudView
from nova_gpu_passthrough.fleet import isolation

if TYPE_CHECKING:
    from nova_gpu_passthrough.fleet.resolve import ResolvedFleet


def by_projects(
    view: CloudView, resolved: "ResolvedFleet"
) -> dict[frozenset[str], tuple[str, ...]]:
    """Return the hosts that take only servers of some projects, by the ids of these projects."""
    if isolation.FILTER not in enabled_filters(resolved):
        return {}
    hosts: dict[frozenset[str], tuple[str, ...]] = {}
    for host in view.hosts:
        if host.reserved_for is not None:
            hosts[host.reserved_for] = (*hosts.get(host.reserved_for, ()), host.name)
    return hosts


def notes(view: CloudView, resolved: "ResolvedFleet", names: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each set of reserved hosts, if no project is given.

    :param names: names of projects by id, as far as they are known
    """
    for projects, hosts in by_projects(view, resolved).items():
        takes = f"{_list(hosts)} {'takes' if len(hosts) == 1 else 'take'}"
        if not projects:
            yield f"{takes} no servers: reserved for projects that do not exist"
            continue
        known = sorted(names.get(project, project) for project in projects)
        yield (
            f"{takes} only servers of {'project' if len(projects) == 1 else 'projects'} "
            f"{', '.join(known)}: add --project to ask for one project"
        )


def _list(hosts: tuple[str, ...], most: int = 5) -> str:
    more = f" and {len(hosts) - most} more hosts" if len(hosts) > most else ""
    return ", ".join(hosts[:most]) + more
