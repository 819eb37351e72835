# SPDX-License-Identifier: Apache-2.0
"""A fleet file with its inventories and all that follows from them."""

import glob
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet import aliases, references, releases
from nova_gpu_passthrough.fleet.aliases import Alias, Key
from nova_gpu_passthrough.fleet.model import FleetFile, HostGroup, Mode
from nova_gpu_passthrough.fleet.notes import Note
from nova_gpu_passthrough.fleet.offers import Offer, choose
from nova_gpu_passthrough.fleet.settings import ENABLED_FILTERS, Settings
from nova_gpu_passthrough.fleet.store import place
from nova_gpu_passthrough.inventory import store
from nova_gpu_passthrough.inventory.model import Inventory


@dataclass(frozen=True)
class Resolved:
    """What a fleet file comes to."""

    file: FleetFile
    settings: Settings
    #: Of hosts in groups of mode passthrough that have a GPU for servers, by the order of names.
    offers: tuple[Offer, ...]
    aliases: Mapping[Key, Alias]
    #: Of every host in the file, whatever its mode.
    groups: Mapping[str, HostGroup]
    inventories: Mapping[str, Inventory]
    notes: tuple[Note, ...] = ()


def resolve(file: FleetFile) -> Resolved:
    """Read the inventories, choose the devices, name the aliases.

    :raises UserError: with file, line and key where one is to blame: a pattern without a match, an
        inventory that cannot be read, a host in two groups, a name that stands for nothing
    """
    groups: dict[str, HostGroup] = {}
    inventories: dict[str, Inventory] = {}
    for number, group in enumerate(file.groups):
        for path, where in _files(file, number):
            inventory = store.load(path)
            other = groups.get(inventory.host)
            if other is not None:
                raise UserError(
                    f"{where}: {path} is of host {inventory.host}, of which another inventory is "
                    f"in group {other.name}; name each host once"
                )
            groups[inventory.host] = group
            inventories[inventory.host] = inventory
    return derive(file, groups, inventories)


def derive(
    file: FleetFile, groups: Mapping[str, HostGroup], inventories: Mapping[str, Inventory]
) -> Resolved:
    """The same, of inventories that have been read.

    :param groups: by host
    :param inventories: by host
    """
    wanted = settings(file)
    passed = [inventories[h] for h, group in groups.items() if group.mode is Mode.PASSTHROUGH]
    offers, notes = _offers(file, passed, wanted)
    for number, rule in enumerate(file.aliases):
        if aliases.key_of_rule(rule, offers) is None:
            raise UserError(references.unknown_device(file, number, offers))
    known, more = aliases.make(offers, wanted.numa_policy, file.aliases)
    references.check(file, offers, known, groups)
    return Resolved(
        file,
        wanted,
        offers,
        known,
        dict(sorted(groups.items())),
        dict(sorted(inventories.items())),
        (*notes, *more),
    )


def settings(file: FleetFile) -> Settings:
    """The settings of ``nova-gpu config generate`` that the file holds."""
    given = file.settings
    return Settings(
        releases.parse(given.release) if given.release else releases.NEWEST,
        exclude=given.exclude,
        nics=given.nics,
        include_unfit=given.include_unfit,
        numa_policy=given.numa_policy,
        one_time_use=given.one_time_use,
        enabled_filters=given.enabled_filters or ENABLED_FILTERS,
        policy=given.policy,
        host_cores=given.host_cores,
        reserved_host_memory_mb=given.reserved_host_memory_mb,
        hugepages=given.hugepages,
    )


def _files(file: FleetFile, number: int) -> Iterator[tuple[Path, str]]:
    """Inventory files of a group, each once, and where the file names them."""
    directory = file.path.parent
    seen: set[Path] = set()
    for index, pattern in enumerate(file.groups[number].inventories):
        where = place(file, "groups", number, "inventories", index)
        found = sorted(glob.glob(pattern, root_dir=directory, recursive=True))
        if not found:
            raise UserError(
                f"{where}: no file matches {pattern} in {directory}; name inventories that "
                "nova-gpu host audit --write made"
            )
        for name in found:
            path = directory / name
            if path not in seen:
                seen.add(path)
                yield path, where


def _offers(
    file: FleetFile, inventories: list[Inventory], wanted: Settings
) -> tuple[tuple[Offer, ...], list[Note]]:
    if not inventories:
        for key in ("exclude", "nics"):
            if getattr(wanted, key):
                raise UserError(
                    f"{place(file, 'settings', key)}: there is no group of mode passthrough"
                )
        return (), []
    try:
        return choose(inventories, wanted)
    except UserError as error:
        option = re.match(r"--(exclude|nic) ", str(error))
        if option is None:
            raise UserError(f"{file.path}: {error}") from None
        key = "nics" if option[1] == "nic" else "exclude"
        text = str(error)[option.end() :]
        raise UserError(f"{place(file, 'settings', key)}: {text}") from None
