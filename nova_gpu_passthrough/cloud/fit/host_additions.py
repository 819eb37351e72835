# SPDX-License-Identifier: Apache-2.0
"""Empty hosts that the operator might add: like one of the cloud, or as an inventory describes.

``COUNTxNAME`` names a host, the file of an inventory, or a GPU model or board. A model alone does
not tell how many CPUs and how much memory a host has, so the cloud must have a host with it, and
all such hosts must be alike.
"""

import dataclasses
import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from os_traits import COMPUTE_STATUS_DISABLED

from nova_gpu_passthrough.catalog import board_types, models
from nova_gpu_passthrough.catalog.board_types import BoardType
from nova_gpu_passthrough.cloud.view import devices
from nova_gpu_passthrough.cloud.view.model import (
    CloudDevice,
    CloudHost,
    CloudView,
    DeviceState,
    Resource,
)
from nova_gpu_passthrough.errors import UserError, did_you_mean
from nova_gpu_passthrough.fleet import aliases, host_cells
from nova_gpu_passthrough.fleet.aliases import AliasMap
from nova_gpu_passthrough.fleet.host_cells import ReportedResources
from nova_gpu_passthrough.fleet.offers import HostOffer, choose
from nova_gpu_passthrough.fleet.settings import Settings
from nova_gpu_passthrough.inventory import store
from nova_gpu_passthrough.inventory.model import Inventory
from nova_gpu_passthrough.inventory.pci import Role

if TYPE_CHECKING:
    from nova_gpu_passthrough.fleet.resolve import ResolvedFleet

MOST_HOSTS = 100_000
_WORD = re.compile(r"([1-9][0-9]*)x(.+)")
_ROOT_CLASSES = ("PCPU", "VCPU", "MEMORY_MB")


@dataclass(frozen=True)
class HostAdditions:
    """The cloud with the added hosts."""

    view: CloudView
    #: Names of the added hosts.
    names: frozenset[str] = frozenset()
    #: What was assumed, one sentence for each word.
    notes: tuple[str, ...] = ()


class _Template(NamedTuple):
    """An empty host, and what was assumed about it."""

    host: CloudHost
    text: str


def add(view: CloudView, resolved: "ResolvedFleet", words: Iterable[str]) -> HostAdditions:
    """Add the hosts that the words describe.

    :param words: values of ``--add``
    :raises UserError: if a value is invalid or ambiguous, or does not tell what a host has
    """
    taken = {host.name for host in view.hosts}
    added, notes = [], []
    for word in words:
        match = _WORD.fullmatch(word)
        if not match or int(match[1]) > MOST_HOSTS:
            raise UserError(
                f"--add {word}: expected COUNTxNAME, such as 2xgpu01 for two hosts like gpu01; "
                "NAME is a host, the file of an inventory, or a GPU model"
            )
        template = _template(word, match[2], view, resolved)
        notes.append(f"--add {word}: empty hosts {template.text}")
        number = 0
        for _ in range(int(match[1])):
            while (name := f"{template.host.name}+{(number := number + 1)}") in taken:
                pass
            taken.add(name)
            added.append(_renamed(template.host, name))
    return HostAdditions(
        dataclasses.replace(view, hosts=(*view.hosts, *added)),
        frozenset(host.name for host in added),
        tuple(notes),
    )


def describe(host: CloudHost) -> str:
    """Describe GPUs, CPUs and memory of a host: "8 H100-SXM, 240 PCPU, 16 VCPU, 1960 GiB"."""
    parts = [f"{count} {model}" for model, count in sorted(_gpus(host).items())]
    for name in ("PCPU", "VCPU"):
        if (resource := host.resources.get(name)) and resource.capacity:
            parts.append(f"{resource.capacity} {name}")
    if memory := host.resources.get("MEMORY_MB"):
        parts.append(f"{memory.capacity // 1024} GiB")
    return ", ".join(parts)


def _template(word: str, name: str, view: CloudView, resolved: "ResolvedFleet") -> _Template:
    by_name = {host.name: host for host in view.hosts}
    if name in by_name:
        return _like(word, by_name[name], view, resolved)
    path = Path(name)
    if path.is_file() or path.suffix in (".yaml", ".yml", ".json"):
        return _of_inventory(word, store.load(path), view, resolved)
    host = _with_model(word, name, view)
    template = _like(word, host, view, resolved)
    return template._replace(text=f"{template.text}, the host with {name}")


def _like(word: str, host: CloudHost, view: CloudView, resolved: "ResolvedFleet") -> _Template:
    """Return an empty host like one of the cloud; by its inventory, if Nova does not have it."""
    if host.provider is None or not host.known:
        inventory = resolved.inventories.get(host.name)
        if inventory is None:
            raise UserError(f"--add {word}: {host.name} is not a host of the cloud any more")
        return _of_inventory(word, inventory, view, resolved)
    offers = {offer.host: offer for offer in resolved.offers}
    whole = None
    if host.name in offers:
        whole = host_cells.make(offers[host.name], resolved.settings)
    emptied = dataclasses.replace(
        host,
        up=True,
        enabled=True,
        disabled_reason="",
        traits=host.traits - {COMPUTE_STATUS_DISABLED},
        resources={
            name: dataclasses.replace(resource, used=0) for name, resource in host.resources.items()
        },
        numa=whole.cells if whole and host.numa else (),
        devices=tuple(map(_free, host.devices)),
        servers=(),
    )
    return _Template(emptied, f"like {host.name} ({describe(emptied)})")


def _of_inventory(
    word: str, inventory: Inventory, view: CloudView, resolved: "ResolvedFleet"
) -> _Template:
    """Return an empty host as an inventory describes it.

    Disk, traits and aggregates are those of a host of the cloud with the same GPUs.
    """
    offered, _ = choose([inventory], _settings_for(inventory, resolved.settings))
    if not offered:
        raise UserError(f"--add {word}: the inventory has no GPU for servers")
    (offer,) = offered
    wanted = {gpu.model for gpu in offer.gpus}
    similar = sorted(
        (host for host in view.hosts if host.known and host.provider),
        key=lambda host: (-len(wanted & _gpus(host).keys()), host.name),
    )
    if not similar or not wanted & _gpus(similar[0]).keys():
        raise UserError(
            f"--add {word}: the cloud has no host with {' or '.join(sorted(wanted))}, whose disk, "
            "traits and aggregates such a host would have, and the fleet no alias for it: add the "
            "inventory to the fleet file, and see nova-gpu flavor generate"
        )
    whole = host_cells.make(offer, resolved.settings)
    example = similar[0]
    host = dataclasses.replace(
        _like(word, example, view, resolved).host,
        name=inventory.host,
        resources=dict(_resources(example, whole)),
        numa=whole.cells,
        devices=tuple(_devices(inventory.host, offer, resolved.aliases)),
        domains={},
    )
    return _Template(
        host,
        f"as the inventory of {inventory.host} describes ({describe(host)}), with disk, traits and "
        f"aggregates of {example.name}",
    )


def _settings_for(inventory: Inventory, settings: Settings) -> Settings:
    """Return the settings with only those cards and NICs that the inventory has."""
    cards = {address for gpu in inventory.gpus for address in (gpu.address, *gpu.companions)}
    nics = {one.address for one in inventory.devices if one.role is Role.NIC}
    prefix = f"{inventory.host}/"

    def present(words: Iterable[str], addresses: Container[str]) -> tuple[str, ...]:
        own = (word.removeprefix(prefix) for word in words)
        return tuple(address for address in own if address in addresses)

    return dataclasses.replace(
        settings, exclude=present(settings.exclude, cards), nics=present(settings.nics, nics)
    )


def _resources(example: CloudHost, whole: ReportedResources) -> Iterator[tuple[str, Resource]]:
    reported = {"PCPU": whole.pcpus, "VCPU": whole.vcpus, "MEMORY_MB": whole.memory_mib}
    for name, total in reported.items():
        resource = example.resources.get(name, Resource(total))
        reserved = resource.reserved
        if name == "MEMORY_MB" and whole.reserved_mib is not None:
            reserved = whole.reserved_mib
        if total:
            yield (
                name,
                Resource(total, reserved, 0, resource.allocation_ratio, max_unit=total),
            )
    for name, resource in example.resources.items():
        if name not in _ROOT_CLASSES:
            yield name, dataclasses.replace(resource, used=0)


def _devices(host: str, offer: HostOffer, known: AliasMap) -> Iterator[CloudDevice]:
    """Yield the devices for which the fleet has an alias."""
    for address, items in devices.by_address(offer.devices).items():
        alias = known.get(aliases.alias_key(items[0]))
        if alias is not None:
            yield _free(devices.missing(host, address, items, alias.resource_class, ""))


def _free(device: CloudDevice) -> CloudDevice:
    total = device.resource.total
    return dataclasses.replace(
        device, state=DeviceState.FREE, resource=Resource(total), consumers=(), note=""
    )


def _renamed(host: CloudHost, name: str) -> CloudHost:
    return dataclasses.replace(
        host,
        name=name,
        compute_host=name,
        devices=tuple(dataclasses.replace(device, host=name) for device in host.devices),
    )


def _gpus(host: CloudHost) -> Counter[str]:
    """Count the GPUs of a host by model."""
    counts: Counter[str] = Counter()
    for gpu in host.gpus:
        counts[gpu.model or ""] += gpu.resource.total
    return counts


def _with_model(word: str, name: str, view: CloudView) -> CloudHost:
    """Return a host with a GPU model or board.

    :raises UserError: if there is none, or if such hosts differ
    """
    in_cloud = {model for host in view.hosts for model in _gpus(host)}
    by_lower_name = {model.lower(): model for model in in_cloud}
    model = by_lower_name.get(name.lower())
    wanted = {board for board in board_types.find(name) if board.model in in_cloud}
    found = [
        host
        for host in view.hosts
        if host.known
        and host.provider
        and any(
            kind == model if model else BoardType(kind, count) in wanted
            for kind, count in _gpus(host).items()
        )
    ]
    if not found:
        raise UserError(f"--add {word}: {_unknown(name, view)}")
    kinds: dict[str, CloudHost] = {}
    for host in found:
        kinds.setdefault(describe(host), host)
    if len(kinds) > 1:
        hosts = " or ".join(f"{host.name} ({text})" for text, host in kinds.items())
        raise UserError(f"--add {word}: hosts with {name} differ, name one of them: {hosts}")
    return found[0]


def _unknown(name: str, view: CloudView) -> str:
    """Explain why a name does not tell what a host has."""
    known_models = {model.lower() for model in models.names()}
    if name.lower() in known_models or board_types.find(name):
        return (
            f"no host of the cloud has {name}, so its CPUs and memory are not known: give the "
            "inventory of such a host, written by nova-gpu host audit --write, as COUNTxFILE"
        )
    names = [host.name for host in view.hosts]
    named = {*names, *(model for host in view.hosts for model in _gpus(host))}
    hint = did_you_mean(name, sorted(named))
    example = f", such as {names[0]}" if names and not hint else ""
    return f"no host, file, GPU model or board is named {name}{hint or example}"
