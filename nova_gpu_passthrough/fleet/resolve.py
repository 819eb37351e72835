# SPDX-License-Identifier: Apache-2.0
"""Resolve a fleet file: read its inventories, choose the devices, make the aliases."""

import dataclasses
import glob
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet import aliases as fleet_aliases
from nova_gpu_passthrough.fleet import failure_domains, isolation, references
from nova_gpu_passthrough.fleet.aliases import AliasMap
from nova_gpu_passthrough.fleet.model import FleetFile, HostGroup, Mode
from nova_gpu_passthrough.fleet.offers import HostOffer, Note, choose
from nova_gpu_passthrough.fleet.settings import Settings
from nova_gpu_passthrough.fleet.store import location
from nova_gpu_passthrough.inventory import store
from nova_gpu_passthrough.inventory.model import Inventory


@dataclass(frozen=True)
class ResolvedFleet:
    """A fleet file with its inventories, offered devices and aliases."""

    file: FleetFile
    #: Those of the file, with the filters that it needs, and with what a command overrides.
    settings: Settings
    #: Offers of the hosts in groups of mode passthrough that have a GPU for servers, by host name.
    offers: tuple[HostOffer, ...]
    aliases: AliasMap
    #: The groups of all hosts, whatever their mode, by host.
    groups: Mapping[str, HostGroup]
    inventories: Mapping[str, Inventory]
    #: Names of failure domains by level, such as ``{"rack": "r12", "room": "a"}``, of the hosts
    #: that the file names below ``hosts``.
    domains: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    #: Paths of the inventories by host, if they were read from files.
    paths: Mapping[str, Path] = field(default_factory=dict)


def resolve(file: FleetFile) -> ResolvedFleet:
    """Read the inventories of a fleet file, and resolve it.

    :raises UserError: with file, line and key where possible: for a pattern without a match, an
        invalid inventory, a host in two groups, or a name that does not exist
    """
    groups: dict[str, HostGroup] = {}
    inventories: dict[str, Inventory] = {}
    paths: dict[str, Path] = {}
    for number, group in enumerate(file.groups):
        for path, where in _files(file, number):
            inventory = store.load(path)
            other = groups.get(inventory.host)
            if other is not None:
                raise UserError(
                    f"{where}: {path} is of host {inventory.host}, and group {other.name} has "
                    "another inventory of this host; name each host once"
                )
            groups[inventory.host] = group
            inventories[inventory.host] = inventory
            paths[inventory.host] = path
    return dataclasses.replace(derive(file, groups, inventories), paths=paths)


def derive(
    file: FleetFile, groups: Mapping[str, HostGroup], inventories: Mapping[str, Inventory]
) -> ResolvedFleet:
    """Resolve a fleet file with given inventories.

    :param groups: by host
    :param inventories: by host
    :raises UserError: as `resolve`
    """
    passthrough = [inventories[h] for h, group in groups.items() if group.mode is Mode.PASSTHROUGH]
    offers, offer_notes = _offers(file, passthrough)
    for number, rule in enumerate(file.aliases):
        if fleet_aliases.rule_key(rule, offers) is None:
            raise UserError(references.unknown_device(file, number, offers))
    aliases, alias_notes = fleet_aliases.make(offers, file.settings.numa_policy, file.aliases)
    references.check(file, offers, aliases, groups)
    return ResolvedFleet(
        file,
        isolation.settings(file),
        offers,
        aliases,
        dict(sorted(groups.items())),
        dict(sorted(inventories.items())),
        failure_domains.by_host(file, groups),
        (*offer_notes, *alias_notes),
    )


def _files(file: FleetFile, number: int) -> Iterator[tuple[Path, str]]:
    """Yield each inventory file of a group once, with its location in the fleet file."""
    directory = file.path.parent
    seen: set[Path] = set()
    for index, pattern in enumerate(file.groups[number].inventories):
        where = location(file, "groups", number, "inventories", index)
        names = sorted(glob.glob(pattern, root_dir=directory, recursive=True))
        if not names:
            raise UserError(
                f"{where}: no file matches {pattern} in {directory}; name inventories that "
                "nova-gpu host audit --write wrote"
            )
        for name in names:
            path = directory / name
            if path not in seen:
                seen.add(path)
                yield path, where


def _offers(
    file: FleetFile, inventories: list[Inventory]
) -> tuple[tuple[HostOffer, ...], list[Note]]:
    if not inventories:
        for key in ("exclude", "nics"):
            if getattr(file.settings, key):
                raise UserError(
                    f"{location(file, 'settings', key)}: there is no group of mode passthrough"
                )
        return (), []
    try:
        return choose(inventories, file.settings)
    except UserError as error:
        option = re.match(r"--(exclude|nic) ", str(error))
        if option is None:
            raise UserError(f"{file.path}: {error}") from None
        key = "nics" if option[1] == "nic" else "exclude"
        text = str(error)[option.end() :]
        raise UserError(f"{location(file, 'settings', key)}: {text}") from None
