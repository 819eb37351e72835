# SPDX-License-Identifier: Apache-2.0
"""Fleets without files."""

from pathlib import Path

from nova_gpu_passthrough.fleet import resolve
from nova_gpu_passthrough.fleet.model import FleetFile, HostGroup, Mode


def resolved(*inventories, groups=None, modes=None, **keys):
    """A fleet of these inventories, in one group of mode passthrough.

    :param groups: inventories by group, instead
    :param modes: by group
    :param keys: the fleet file's other keys
    """
    members = {"all": inventories} if groups is None else groups
    made = {
        name: HostGroup(name, (f"{name}-*.yaml",), (modes or {}).get(name, Mode.PASSTHROUGH))
        for name in members
    }
    file = FleetFile("test", tuple(made.values()), path=Path("/nowhere/fleet.yaml"), **keys)
    by_host = {found.host: found for group in members.values() for found in group}
    group_of = {found.host: made[name] for name, group in members.items() for found in group}
    return resolve.derive(file, group_of, by_host)
