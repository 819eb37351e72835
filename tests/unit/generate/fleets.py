# SPDX-License-Identifier: Apache-2.0
"""Resolved fleets without files."""

from pathlib import Path

from nova_gpu_passthrough.fleet import resolve
from nova_gpu_passthrough.fleet.model import FleetFile, HostGroup, Mode


def resolved(*inventories, groups=None, modes=None, owners=None, **keys):
    """Resolve a fleet of these inventories, in one group of mode passthrough.

    :param groups: inventories by group, instead of one group
    :param modes: modes by group
    :param owners: projects by group
    :param keys: other keys of the fleet file
    """
    members = {"all": inventories} if groups is None else groups
    host_groups = {
        name: HostGroup(
            name,
            (f"{name}-*.yaml",),
            (modes or {}).get(name, Mode.PASSTHROUGH),
            projects=(owners or {}).get(name, ()),
        )
        for name in members
    }
    file = FleetFile("test", tuple(host_groups.values()), path=Path("/nowhere/fleet.yaml"), **keys)
    by_host = {found.host: found for group in members.values() for found in group}
    group_of = {found.host: host_groups[name] for name, group in members.items() for found in group}
    return resolve.derive(file, group_of, by_host)
