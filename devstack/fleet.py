# SPDX-License-Identifier: Apache-2.0
"""Write the fleet file of a DevStack, with its inventories beside it.

The fleet is one that somebody wrote, or made here from inventories. ``plugin.sh`` runs this by the
Python that Nova is installed for. The directory then has:

``fleet.yaml``, ``inventories/``  as ``nova-gpu --fleet`` takes them
``hosts``                         names of this machine's hosts, a line each
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import glob
import itertools
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import cpu_list, documents, writing
from nova_gpu_passthrough.fleet import aliases, releases
from nova_gpu_passthrough.fleet import resolve as resolving
from nova_gpu_passthrough.fleet import store as fleets
from nova_gpu_passthrough.fleet.offers import Kind
from nova_gpu_passthrough.fleet.resolve import Resolved
from nova_gpu_passthrough.fleet.settings import ENABLED_FILTERS
from nova_gpu_passthrough.inventory import store as inventories
from nova_gpu_passthrough.inventory.model import Inventory

_COMMAND = "the DevStack plug-in nova_gpu_passthrough"
#: Of flavors for a stand-in: a few of them fit into any virtual machine.
_SMALL = {"cpu_policy": "shared", "vcpus_per_gpu": 1, "ram_mib_per_gpu": 512, "disk_gib": 1}
#: Of the project that may use them.
_SERVERS = 100
#: Of a flavor: a DevStack's disk is small, and its unified limits give a project 20 GiB.
_DISK_GIB = 5
#: Nova's own (nova/conf/quota.py), which DevStack's unified limits repeat (lib/nova).
_DEFAULTS = {"servers": 10, "vcpus": 20, "ram_mib": 51200}


def make(options: argparse.Namespace) -> None:
    """Write the files.

    :raises UserError: if a file cannot be read or makes no sense
    """
    document = _given(options.fleet) if options.fleet else _made(options)
    found = [list(map(inventories.load, files)) for files in _files(options, document)]
    here = [one.host for group in found for one in group if one.host == options.host]
    renamed: dict[str, str] = {}
    if options.computes:
        here = _computes(options, found)
        found, renamed = _stand_ins(found, "" if here else options.computes)
        here = here or [one.host for group in found for one in group]
    known = {one.host: one for group in found for one in group}
    for group, members in zip(document["groups"], found, strict=True):
        group["inventories"] = [f"inventories/{one.host}.yaml" for one in members]
    _settle(document.setdefault("settings", {}), options, renamed)
    _write(options.directory, document, known)
    resolved = resolving.resolve(fleets.load(options.directory / "fleet.yaml"))
    if not options.fleet and "flavors" not in document:
        models = {model for kind, model, _ in resolved.aliases if kind is Kind.GPU}
        document["flavors"] = [{"model": m, "disk_gib": _DISK_GIB} for m in sorted(models)]
    if options.project and "projects" not in document:
        _give(document, options, resolved)
    _write(options.directory, document, known)
    (options.directory / "hosts").write_text("".join(f"{host}\n" for host in here))


def _given(path: Path) -> dict[str, Any]:
    """Somebody's fleet file as it is written."""
    fleets.load(path)
    rules = documents.schema(fleets.__package__ or "", f"schema-v{fleets.VERSION}.json")
    return dict(documents.load(path, "a fleet file", rules))


def _made(options: argparse.Namespace) -> dict[str, Any]:
    """A fleet of one group for each inventory, since the hosts need not be alike."""
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
        document["flavors"] = [{"model": model, "counts": [1], **_SMALL} for model in models]
    return document


def _files(options: argparse.Namespace, document: dict[str, Any]) -> Iterator[list[Path]]:
    """The inventories of each group."""
    if not options.fleet:
        yield from ([path] for path in options.inventory)
        return
    for group in document["groups"]:
        found: list[Path] = []
        for pattern in group["inventories"]:
            below = Path(glob.escape(str(options.fleet.parent)))
            matches = [Path(p) for p in sorted(glob.glob(str(below / pattern), recursive=True))]
            if not matches:
                raise UserError(
                    f"{options.fleet}: no inventory matches {pattern} of group {group['name']}"
                )
            found += [path for path in matches if path not in found]
        yield found


def _computes(options: argparse.Namespace, found: Sequence[Sequence[Inventory]]) -> list[str]:
    """Hosts of a fleet of several machines that are this machine's computes.

    Empty: the fleet knows nothing of machines, and all hosts are to be this one's.
    """
    names = {one.host for group in found for one in group}
    numbered = (f"{options.computes}{number}" for number in itertools.count(1))
    here = list(itertools.takewhile(names.__contains__, numbered))
    if not here and not options.rename:
        raise UserError(
            f"{options.fleet}: no inventory is of host {options.computes}1, as DevStack calls the "
            f"first compute of this machine; the fleet's hosts are {', '.join(sorted(names))}"
        )
    return here


def _stand_ins(
    found: Sequence[Sequence[Inventory]], prefix: str
) -> tuple[list[list[Inventory]], dict[str, str]]:
    """Hosts for Nova's fake libvirt, renamed if there is a prefix, and their new names by old."""
    made: list[list[Inventory]] = []
    renamed: dict[str, str] = {}
    numbers = itertools.count(1)
    for group in found:
        made.append([])
        for inventory in group:
            host = f"{prefix}{next(numbers)}" if prefix else inventory.host
            renamed[inventory.host] = host
            made[-1].append(_stand_in(inventory, host))
    return made, renamed


def _stand_in(inventory: Inventory, host: str) -> Inventory:
    """The host as Nova's fake libvirt can show it, which numbers CPUs core by core."""
    nodes, first = [], 0
    for node in inventory.numa_nodes:
        cores = []
        for threads in (len(cpu_list.parse(core)) for core in node.cores):
            cores.append(cpu_list.to_text(range(first, first + threads)))
            first += threads
        cpus = cpu_list.to_text(cpu for core in cores for cpu in cpu_list.parse(core))
        nodes.append(dataclasses.replace(node, cpus=cpus, cores=tuple(cores)))
    return dataclasses.replace(inventory, host=host, numa_nodes=tuple(nodes))


def _settle(settings: dict[str, Any], options: argparse.Namespace, renamed: dict[str, str]) -> None:
    """What DevStack's variables say, where the fleet file does not."""
    for name in ("exclude", "nics"):
        if name in settings:
            settings[name] = [_renamed(word, renamed) for word in settings[name]]
    settings.setdefault("release", _release())
    # The same list as DevStack's, as far as nothing else is wanted: tempest counts on its filters.
    settings.setdefault("enabled_filters", options.enabled_filters or list(ENABLED_FILTERS))
    if options.exclude:
        settings["exclude"] = [*settings.get("exclude", ()), *options.exclude]
    if options.include_unfit:
        settings.setdefault("include_unfit", True)
    if options.policy:
        settings.setdefault("policy", options.policy)
    if options.reserved_host_memory_mb is not None:
        settings.setdefault("reserved_host_memory_mb", options.reserved_host_memory_mb)


def _renamed(word: str, renamed: dict[str, str]) -> str:
    host, slash, address = word.rpartition("/")
    return f"{renamed.get(host, host)}{slash}{address}"


def _release() -> int:
    """Nova's that is installed; one that is newer than all we know counts as the newest."""
    newest = int(releases.NEWEST.nova)
    try:
        installed = int(metadata.version("nova").partition(".")[0])
    except metadata.PackageNotFoundError:
        return newest
    return min(installed, newest)


def _give(document: dict[str, Any], options: argparse.Namespace, resolved: Resolved) -> None:
    """Let a project use all flavors and all GPUs."""
    hosts = resolved.inventories.values()
    nodes = [node for inventory in hosts for node in inventory.numa_nodes]
    quotas = {
        "servers": _SERVERS,
        "vcpus": sum(len(cpu_list.parse(node.cpus)) for node in nodes) or _SERVERS,
        "ram_mib": sum(node.memory_mib for node in nodes) or _SERVERS * 1024,
    }
    if options.unified_limits:
        counts = Counter(
            aliases.key_of(device) for offer in resolved.offers for device in offer.devices
        )
        quotas |= {alias.name: counts[key] for key, alias in resolved.aliases.items()}
    driver = "unified-limits" if options.unified_limits else "nova"
    document["quotas"] = {"driver": driver, "default": dict(_DEFAULTS)}
    document["projects"] = [{"name": options.project, "flavors": ["*"], "quotas": quotas}]


def _write(directory: Path, document: dict[str, Any], known: dict[str, Inventory]) -> None:
    folder = directory / "inventories"
    texts = {folder / f"{host}.yaml": inventories.dump(known[host], _COMMAND) for host in known}
    texts[directory / "fleet.yaml"] = writing.seal(
        documents.dump(copy.deepcopy(document)), _COMMAND
    )
    writing.write_all(texts, force=True)


def _names(text: str) -> list[str]:
    return [name for name in text.replace(",", " ").split() if name]


def parser() -> argparse.ArgumentParser:
    """Options of the command."""
    found = argparse.ArgumentParser(prog="fleet.py", description=__doc__)
    found.add_argument("directory", metavar="DIR", type=Path)
    source = found.add_mutually_exclusive_group(required=True)
    source.add_argument("--fleet", metavar="FILE", type=Path)
    source.add_argument("--inventory", metavar="FILE", type=Path, action="append", default=[])
    where = found.add_mutually_exclusive_group()
    where.add_argument("--host", metavar="NAME", help="this machine's name in Nova")
    where.add_argument(
        "--computes",
        metavar="PREFIX",
        help="this machine's hosts are PREFIX1, PREFIX2, ... on Nova's fake libvirt",
    )
    found.add_argument("--rename", action="store_true", help="if there are none, call all so")
    found.add_argument("--enabled-filters", metavar="NAME,...", type=_names, default=[])
    found.add_argument("--exclude", metavar="ADDRESS ...", type=_names, default=[])
    found.add_argument("--include-unfit", action="store_true")
    found.add_argument("--policy", metavar="NAME")
    found.add_argument("--reserved-host-memory-mb", metavar="MIB", type=int)
    found.add_argument("--project", metavar="NAME", help="which may use all flavors and GPUs")
    found.add_argument("--unified-limits", action="store_true")
    found.add_argument(
        "--only", metavar="ADDRESS", help="the only GPU, with a flavor of one vCPU and 512 MiB"
    )
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    try:
        make(parser().parse_args(arguments))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
