# SPDX-License-Identifier: Apache-2.0
"""Resource providers of compute nodes and their PCI devices, read with few requests.

Inventories, usages and traits take one request each for every provider: 24 for a host with eight
GPUs. ``GET /allocation_candidates`` with ``in_tree`` tells capacities, usages and traits of a whole
tree at once (``provider_summaries``), if the tree has anything left of what was asked for. So the
root is asked what it has left, then for one unit of that.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from openstack import exceptions
from os_traits import COMPUTE_MANAGED_PCI_DEVICE

from nova_gpu_passthrough.catalog import models
from nova_gpu_passthrough.cloud.view.api import Api, absent
from nova_gpu_passthrough.cloud.view.model import Resource

#: What a compute node's root provider has, the likeliest to have a unit left first.
_ROOT_CLASSES = ("MEMORY_MB", "VCPU", "PCPU", "DISK_GB")
#: Nova's name for a device's class where device_spec has none (``get_resource_class`` in
#: nova/compute/pci_placement_translator.py).
_BY_IDS = re.compile(r"CUSTOM_PCI_([0-9A-F]{4})_([0-9A-F]{4})")
#: Begins the traits of ``generate/device_spec.py`` that name a model.
MODEL_TRAIT = "CUSTOM_GPU_MODEL_"


@dataclass(frozen=True)
class Provider:
    """One resource provider."""

    uuid: str
    name: str
    traits: frozenset[str] = frozenset()
    resources: Mapping[str, Resource] = field(default_factory=dict)


@dataclass(frozen=True)
class Tree:
    """A compute node's provider and those of its PCI devices."""

    root: Provider
    devices: tuple[Provider, ...]


@dataclass(frozen=True)
class Directory:
    """Which PCI devices there are in all of Placement, by provider."""

    #: UUID of the compute node's provider.
    roots: Mapping[str, str]
    names: Mapping[str, str]
    #: Compute nodes' providers below which there are, or may be, GPUs.
    candidates: frozenset[str]


def directory(api: Api) -> Directory:
    """All PCI devices, found by the trait that Nova gives to each."""
    found = _having(api, COMPUTE_MANAGED_PCI_DEVICE)
    roots = {provider["uuid"]: provider["root_provider_uuid"] for provider in found}
    names = {provider["uuid"]: provider["name"] for provider in found}
    classes = api.placement("/resource_classes")["resource_classes"] if found else []
    if any(model_of(entry["name"]) for entry in classes):
        # Some devices have no traits of ours, and only their inventories tell their classes.
        return Directory(roots, names, frozenset(roots.values()))
    traits = api.placement("/traits", name=f"startswith:{MODEL_TRAIT}")["traits"] if found else []
    gpus = _having(api, f"in:{','.join(traits)}") if traits else []
    return Directory(roots, names, frozenset(gpu["root_provider_uuid"] for gpu in gpus))


def model_of(resource_class: str) -> str | None:
    """The GPU model in a class that Nova named by vendor and product."""
    ids = _BY_IDS.fullmatch(resource_class)
    model = models.lookup(ids[1].lower(), ids[2].lower()) if ids else None
    return model.name if model else None


def trees(
    api: Api, wanted: Mapping[str, str], known: Directory, whole: Collection[str] = ()
) -> dict[str, Tree]:
    """The trees of compute nodes' providers, by UUID of the root.

    :param wanted: names of the roots by UUID
    :param whole: roots of which all providers are wanted, not only PCI devices: those with vGPUs
    """
    below: dict[str, dict[str, str]] = {}
    for device, root in known.roots.items():
        below.setdefault(root, {})[device] = known.names[device]

    def read(root: str) -> Tree:
        names = below.get(root, {})
        if root in whole:
            members = api.placement("/resource_providers", in_tree=root)["resource_providers"]
            names = {p["uuid"]: p["name"] for p in members if p["uuid"] != root}
        return _tree(api, root, wanted[root], names)

    return _exact(api, api.each("compute nodes in Placement", wanted, read))


def allocations(api: Api, providers: Collection[str]) -> dict[str, dict[str, int]]:
    """Units held by consumer, by provider."""
    found = api.each(
        "allocations of devices",
        providers,
        lambda provider: _get(api, f"/resource_providers/{provider}/allocations", "allocations"),
    )
    return {
        provider: {
            consumer: sum(held["resources"].values()) for consumer, held in consumers.items()
        }
        for provider, consumers in zip(providers, found, strict=True)
    }


def holdings(api: Api, consumers: Collection[str]) -> dict[str, dict[str, int]]:
    """The same from the consumers' side: fewer requests where each holds several devices."""
    found = api.each(
        "allocations of servers",
        consumers,
        lambda consumer: _get(api, f"/allocations/{consumer}", "allocations"),
    )
    held: dict[str, dict[str, int]] = {}
    for consumer, providers in zip(consumers, found, strict=True):
        for provider, entry in providers.items():
            held.setdefault(provider, {})[consumer] = sum(entry["resources"].values())
    return held


def _having(api: Api, required: str) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = api.placement("/resource_providers", required=required)[
        "resource_providers"
    ]
    return found


def _get(api: Api, path: str, name: str) -> Mapping[str, Any]:
    """A part of an answer; empty for what was deleted meanwhile."""
    try:
        part: Mapping[str, Any] = api.placement(path)[name]
    except exceptions.HttpException as error:
        if absent(error):
            return {}
        raise
    return part


def _tree(api: Api, root: str, name: str, names: Mapping[str, str]) -> Tree:
    """The tree of a root; ``names`` are those of the devices that are wanted."""
    inventories = _get(api, f"/resource_providers/{root}/inventories", "inventories")
    summaries = _summaries(api, root, inventories)
    if summaries is None:
        # Nothing is left of the root: ask each provider.
        devices = [_slowly(api, *device) for device in names.items()]
        return Tree(_slowly(api, root, name), tuple(d for d in devices if d.resources))
    own = summaries[root]
    used = {key: entry["used"] for key, entry in own["resources"].items()}
    resources = {
        key: _resource(inventory, used.get(key, 0)) for key, inventory in inventories.items()
    }
    return Tree(
        Provider(root, name, frozenset(own["traits"]), resources),
        tuple(
            Provider(
                uuid,
                names[uuid],
                frozenset(summary["traits"]),
                {key: _summarised(entry) for key, entry in summary["resources"].items()},
            )
            for uuid, summary in summaries.items()
            if uuid in names and summary["root_provider_uuid"] == root
        ),
    )


def _summaries(
    api: Api, root: str, inventories: Mapping[str, Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    for name in _ROOT_CLASSES:
        inventory = inventories.get(name)
        if inventory and _resource(inventory, 0).capacity > 0 and inventory["min_unit"] == 1:
            found: Mapping[str, Any] = api.placement(
                "/allocation_candidates", resources=f"{name}:1", in_tree=root
            )["provider_summaries"]
            if root in found:
                return found
    return None


def _slowly(api: Api, provider: str, name: str) -> Provider:
    base = f"/resource_providers/{provider}"
    used = _get(api, f"{base}/usages", "usages")
    return Provider(
        provider,
        name,
        frozenset(_get(api, f"{base}/traits", "traits")),
        {
            key: _resource(inventory, used.get(key, 0))
            for key, inventory in _get(api, f"{base}/inventories", "inventories").items()
        },
    )


def _resource(inventory: Mapping[str, Any], used: int) -> Resource:
    return Resource(
        inventory["total"],
        inventory["reserved"],
        used,
        inventory["allocation_ratio"],
        inventory["max_unit"],
    )


def _summarised(entry: Mapping[str, int]) -> Resource:
    """What a summary tells; Nova lets a device be allocated as a whole."""
    capacity = max(entry["capacity"], 0)
    return Resource(capacity, used=entry["used"], max_unit=max(capacity, 1))


def _exact(api: Api, found: list[Tree]) -> dict[str, Tree]:
    """Take inventories of devices that a summary does not tell fully.

    Of a capacity of 1 in a class of which no provider has more, total and reserved are known: 1
    and 0. A capacity of 0 is a device that is reserved; more are the VFs of one PF.
    """
    many = {
        name
        for tree in found
        for device in tree.devices
        for name, resource in device.resources.items()
        if resource.capacity > 1
    }
    unsure = [
        (device.uuid, device.name)
        for tree in found
        for device in tree.devices
        if any(
            resource.capacity != 1 or name in many for name, resource in device.resources.items()
        )
    ]
    read = api.each("inventories of devices", unsure, lambda device: _slowly(api, *device))
    exact = {provider.uuid: provider for provider in read}
    return {
        tree.root.uuid: Tree(
            tree.root, tuple(exact.get(device.uuid, device) for device in tree.devices)
        )
        for tree in found
    }
