# SPDX-License-Identifier: Apache-2.0
"""Write the fleet file of a DevStack, with its inventories beside it.

The source is a fleet file, or inventories from which a fleet file is generated. ``plugin.sh`` runs
this with the Python interpreter that Nova is installed for. The directory then has:

``fleet.yaml``, ``inventories/``  the input of ``nova-gpu --fleet``
``hosts``                         the names of this machine's hosts, one per line
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import glob
import itertools
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import cpu_list, documents, generated_files
from nova_gpu_passthrough.fleet import aliases, derive_state, releases
from nova_gpu_passthrough.fleet import resolve as resolving
from nova_gpu_passthrough.fleet import settings as fleet_settings
from nova_gpu_passthrough.fleet import store as fleets
from nova_gpu_passthrough.fleet.offers import DeviceKind
from nova_gpu_passthrough.fleet.resolve import ResolvedFleet
from nova_gpu_passthrough.inventory import store as inventories
from nova_gpu_passthrough.inventory.model import Inventory

_COMMAND = "the DevStack plug-in nova_gpu_passthrough"
#: The flavors of a stand-in: small enough that several fit into any virtual machine.
_STAND_IN_FLAVOR = {
    "cpu_policy": "shared",
    "vcpus_per_gpu": 1,
    "ram_mib_per_gpu": 512,
    "disk_gib": 1,
}
#: The quota of servers of the project that may use the GPU flavors.
_SERVERS = 100
#: Disk of a generated flavor: small, because the disk of a test machine is.
_DISK_GIB = 5
#: Nova's default quotas (nova/conf/quota.py), which DevStack's unified limits repeat (lib/nova).
_DEFAULT_QUOTAS = {"servers": 10, "vcpus": 20, "ram_mib": 51200}
#: DevStack's default unified limit on disk (lib/nova). Nova's own quotas do not count disk.
_DEFAULT_DISK_GIB = 20
#: Master after a release: pbr counts up the minor version, because OpenStack's release scripts mark
#: the first commit with "Sem-Ver: feature". A stable branch counts up the patch version.
_NEXT_RELEASE = re.compile(r"(?P<last>[0-9]+)\.[1-9][0-9]*\.0\.dev[0-9]+")


def write_fleet(options: argparse.Namespace) -> None:
    """Write the fleet file, its inventories and the list of this machine's hosts.

    :raises UserError: if a file cannot be read or is invalid
    """
    document = _load_document(options.fleet) if options.fleet else _new_document(options)
    groups = [list(map(inventories.load, paths)) for paths in _inventory_paths(options, document)]
    local_hosts = [one.host for group in groups for one in group if one.host == options.host]
    new_names: dict[str, str] = {}
    if options.computes:
        local_hosts = _local_computes(options, groups)
        groups, new_names = _stand_ins(groups, "" if local_hosts else options.computes)
        # Names and racks are those of the hosts that these stand for.
        document.pop("hosts", None)
        local_hosts = local_hosts or [one.host for group in groups for one in group]
    by_host = {one.host: one for group in groups for one in group}
    for group, members in zip(document["groups"], groups, strict=True):
        group["inventories"] = [f"inventories/{one.host}.yaml" for one in members]
    _add_settings(document.setdefault("settings", {}), options, new_names)
    _write(options.directory, document, by_host)
    resolved = resolving.resolve(fleets.load(options.directory / "fleet.yaml"))
    if not options.fleet and "flavors" not in document:
        models = {model for kind, model, _ in resolved.aliases if kind is DeviceKind.GPU}
        document["flavors"] = [{"model": m, "disk_gib": _DISK_GIB} for m in sorted(models)]
    _write(options.directory, document, by_host)
    if options.project and "projects" not in document:
        _add_project(
            document, options, resolving.resolve(fleets.load(options.directory / "fleet.yaml"))
        )
        _write(options.directory, document, by_host)
    (options.directory / "hosts").write_text("".join(f"{host}\n" for host in local_hosts))


def _load_document(path: Path) -> dict[str, Any]:
    """Check a fleet file and return its document."""
    fleets.load(path)
    rules = documents.schema(fleets.__package__ or "", f"schema-v{fleets.VERSION}.json")
    return dict(documents.load(path, "a fleet file", rules))


def _new_document(options: argparse.Namespace) -> dict[str, Any]:
    """Return a fleet with one group for each inventory, because the hosts may differ."""
    stems = [path.stem for path in options.inventory]
    names = [
        f"{stem}-{number}" if stems.count(stem) > 1 else stem
        for number, stem in enumerate(stems, start=1)
    ]
    document: dict[str, Any] = {
        "schema": "nova-gpu-passthrough/fleet",
        "version": fleets.VERSION,
        "name": "devstack",
        "groups": [{"name": name, "inventories": []} for name in names],
    }
    if options.only:
        gpus = [gpu for path in options.inventory for gpu in inventories.load(path).gpus]
        models = {gpu.model for gpu in gpus if gpu.address == options.only}
        others = [gpu.address for gpu in gpus if gpu.address != options.only]
        document["settings"] = {"exclude": others}
        document["flavors"] = [
            {"model": model, "counts": [1], **_STAND_IN_FLAVOR} for model in models
        ]
    return document


def _inventory_paths(options: argparse.Namespace, document: dict[str, Any]) -> Iterator[list[Path]]:
    """Yield the paths of each group's inventories."""
    if not options.fleet:
        yield from ([path] for path in options.inventory)
        return
    for group in document["groups"]:
        paths: list[Path] = []
        for pattern in group["inventories"]:
            below = Path(glob.escape(str(options.fleet.parent)))
            matches = [Path(p) for p in sorted(glob.glob(str(below / pattern), recursive=True))]
            if not matches:
                raise UserError(
                    f"{options.fleet}: no inventory matches {pattern} of group {group['name']}"
                )
            paths += [path for path in matches if path not in paths]
        yield paths


def _local_computes(
    options: argparse.Namespace, groups: Sequence[Sequence[Inventory]]
) -> list[str]:
    """Return the hosts of a fleet of several machines that are computes of this machine.

    An empty list: the fleet does not name computes of machines, and this machine runs all hosts.
    """
    names = {one.host for group in groups for one in group}
    numbered = (f"{options.computes}{number}" for number in itertools.count(1))
    local_hosts = list(itertools.takewhile(names.__contains__, numbered))
    if not local_hosts and not options.rename:
        raise UserError(
            f"{options.fleet}: there is no inventory of host {options.computes}1, which is "
            "DevStack's name for the first compute of this machine; the fleet's hosts are "
            f"{', '.join(sorted(names))}"
        )
    return local_hosts


def _stand_ins(
    groups: Sequence[Sequence[Inventory]], prefix: str
) -> tuple[list[list[Inventory]], dict[str, str]]:
    """Return the hosts for Nova's fake libvirt, and their new names by the old ones.

    :param prefix: name the hosts prefix1, prefix2, ...; empty: keep their names
    """
    stand_ins: list[list[Inventory]] = []
    new_names: dict[str, str] = {}
    numbers = itertools.count(1)
    for group in groups:
        stand_ins.append([])
        for inventory in group:
            host = f"{prefix}{next(numbers)}" if prefix else inventory.host
            new_names[inventory.host] = host
            stand_ins[-1].append(_stand_in(inventory, host))
    return stand_ins, new_names


def _stand_in(inventory: Inventory, host: str) -> Inventory:
    """Return the host with CPUs numbered core by core, as Nova's fake libvirt numbers them."""
    nodes, first = [], 0
    for node in inventory.numa_nodes:
        cores = []
        for threads in (len(cpu_list.parse(core)) for core in node.cores):
            cores.append(cpu_list.to_text(range(first, first + threads)))
            first += threads
        cpus = cpu_list.to_text(cpu for core in cores for cpu in cpu_list.parse(core))
        nodes.append(dataclasses.replace(node, cpus=cpus, cores=tuple(cores)))
    return dataclasses.replace(inventory, host=host, numa_nodes=tuple(nodes))


def _add_settings(
    settings: dict[str, Any], options: argparse.Namespace, new_names: dict[str, str]
) -> None:
    """Add the values of DevStack's variables to settings that the fleet file does not have."""
    for name in ("exclude", "nics"):
        if name in settings:
            settings[name] = [_renamed(address, new_names) for address in settings[name]]
    settings.setdefault("release", _release())
    # By default the list of DevStack, because Tempest's tests need its filters.
    settings.setdefault(
        "enabled_filters", options.enabled_filters or list(fleet_settings.ENABLED_FILTERS)
    )
    if options.exclude:
        settings["exclude"] = [*settings.get("exclude", ()), *options.exclude]
    for name, value in fleet_settings.given_values(vars(options)).items():
        settings.setdefault(name, value)


def _renamed(host_and_address: str, new_names: dict[str, str]) -> str:
    host, slash, address = host_and_address.rpartition("/")
    return f"{new_names.get(host, host)}{slash}{address}"


def _release() -> int:
    """Return the release of the installed Nova, or the newest known one if that is newer.

    A development version of master is on the way to the next release: 33.1.0.dev433 becomes 34.
    """
    newest = int(releases.NEWEST.nova)
    try:
        version = metadata.version("nova")
    except metadata.PackageNotFoundError:
        return newest
    if match := _NEXT_RELEASE.match(version):
        return min(int(match["last"]) + 1, newest)
    return min(int(version.partition(".")[0]), newest)


def _add_project(
    document: dict[str, Any], options: argparse.Namespace, resolved: ResolvedFleet
) -> None:
    """Add a project that may use all flavors and all GPUs."""
    hosts = resolved.inventories.values()
    nodes = [node for inventory in hosts for node in inventory.numa_nodes]
    quotas = {
        "servers": _SERVERS,
        "vcpus": sum(len(cpu_list.parse(node.cpus)) for node in nodes) or _SERVERS,
        "ram_mib": sum(node.memory_mib for node in nodes) or _SERVERS * 1024,
    }
    defaults = dict(_DEFAULT_QUOTAS)
    if options.unified_limits:
        counts = Counter(
            aliases.alias_key(device) for offer in resolved.offers for device in offer.devices
        )
        quotas |= {alias.name: counts[key] for key, alias in resolved.aliases.items()}
        defaults["disk_gib"] = _DEFAULT_DISK_GIB
        quotas["disk_gib"] = max(_DEFAULT_DISK_GIB, _disk_gib(resolved))
    driver = "unified-limits" if options.unified_limits else "nova"
    document["quotas"] = {"driver": driver, "default": defaults}
    document["projects"] = [{"name": options.project, "flavors": ["*"], "quotas": quotas}]


def _disk_gib(resolved: ResolvedFleet) -> int:
    """Return the disk of as many servers as there are GPUs, all of the flavor with most disk."""
    state, _ = derive_state.make(resolved)
    gpus = sum(
        device.kind is DeviceKind.GPU for offer in resolved.offers for device in offer.devices
    )
    return gpus * max((flavor.disk_gib for flavor in state.flavors if flavor.gpus), default=0)


def _write(directory: Path, document: dict[str, Any], by_host: dict[str, Inventory]) -> None:
    folder = directory / "inventories"
    texts = {
        folder / f"{host}.yaml": inventories.dump(inventory, _COMMAND)
        for host, inventory in by_host.items()
    }
    texts[directory / "fleet.yaml"] = generated_files.seal(
        documents.dump(copy.deepcopy(document)), _COMMAND
    )
    generated_files.write_all(texts, force=True)


def _names(text: str) -> list[str]:
    return [name for name in text.replace(",", " ").split() if name]


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command's options."""
    result = argparse.ArgumentParser(prog="fleet.py", description=__doc__)
    result.add_argument("directory", metavar="DIR", type=Path)
    source = result.add_mutually_exclusive_group(required=True)
    source.add_argument("--fleet", metavar="FILE", type=Path)
    source.add_argument("--inventory", metavar="FILE", type=Path, action="append", default=[])
    machine = result.add_mutually_exclusive_group()
    machine.add_argument("--host", metavar="NAME", help="this machine's name in Nova")
    machine.add_argument(
        "--computes",
        metavar="PREFIX",
        help="this machine runs the hosts PREFIX1, PREFIX2, ... on Nova's fake libvirt",
    )
    result.add_argument(
        "--rename",
        action="store_true",
        help="if the fleet has no such hosts, give all hosts these names",
    )
    result.add_argument("--enabled-filters", metavar="NAME,...", type=_names, default=[])
    result.add_argument("--exclude", metavar="ADDRESS ...", type=_names, default=[])
    result.add_argument("--include-unfit", action="store_true")
    result.add_argument("--policy", metavar="NAME")
    result.add_argument("--reserved-host-memory-mb", metavar="MIB", type=int)
    result.add_argument(
        "--project", metavar="NAME", help="the project that may use all flavors and GPUs"
    )
    result.add_argument("--unified-limits", action="store_true")
    result.add_argument(
        "--only",
        metavar="ADDRESS",
        help="pass only this GPU through, with a flavor of one vCPU and 512 MiB",
    )
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    try:
        write_fleet(parser().parse_args(arguments))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
