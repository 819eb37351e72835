# SPDX-License-Identifier: Apache-2.0
"""Read the resource providers of compute nodes and their PCI devices with few requests.

Inventories, usages and traits need one request each for every provider: 24 for a host with eight
GPUs. ``GET /allocation_candidates`` with ``in_tree`` returns capacities, usages and traits of a
whole tree at once (``provider_summaries``), provided that the tree can serve the requested
resource. So the inventories of the root are read first, and then one unit of them is requested.
"""

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from openstack import exceptions
from os_traits import COMPUTE_MANAGED_PCI_DEVICE

from nova_gpu_passthrough.catalog import models
from nova_gpu_passthrough.cloud.view.model import Resource
from nova_gpu_passthrough.cloud.view.reader import CloudReader, is_not_found
from nova_gpu_passthrough.fleet import device_names
from nova_gpu_passthrough.nova_rules import resource_names

#: Resource classes of a compute node's root provider, the likeliest to have a free unit first.
_ROOT_CLASSES = ("MEMORY_MB", "VCPU", "PCPU", "DISK_GB")
#: The trait of every provider that Nova 34 or newer manages. With all computes upgraded, Nova
#: schedules to no other provider (``owner_nova_filter`` in nova/scheduler/request_filter.py).
OWNER_NOVA = "OWNER_NOVA"


@dataclass(frozen=True)
class ResourceProvider:
    """A resource provider with its traits and resources."""

    uuid: str
    name: str
    traits: frozenset[str] = frozenset()
    resources: Mapping[str, Resource] = field(default_factory=dict)
    #: Traits that nova-compute sets on every device, and this one does not have.
    lacking: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ProviderTree:
    """The root provider of a compute node, and the providers of its PCI devices."""

    root: ResourceProvider
    devices: tuple[ResourceProvider, ...]


@dataclass(frozen=True)
class PciProviders:
    """All providers of PCI devices in Placement."""

    #: UUID of the root provider by UUID of the device's provider.
    roots: Mapping[str, str]
    #: Names by UUID.
    names: Mapping[str, str]
    #: Root providers whose trees have, or may have, GPUs.
    gpu_roots: frozenset[str]


def pci_providers(reader: CloudReader) -> PciProviders:
    """Find the providers of PCI devices by the trait that Nova sets on each of them."""
    bodies = _with_traits(reader, COMPUTE_MANAGED_PCI_DEVICE)
    roots = {body["uuid"]: body["root_provider_uuid"] for body in bodies}
    names = {body["uuid"]: body["name"] for body in bodies}
    classes = reader.placement("/resource_classes")["resource_classes"] if bodies else []
    if any(model_of(entry["name"]) for entry in classes):
        # Some devices may have no model trait, and only their inventories show their classes.
        return PciProviders(roots, names, frozenset(roots.values()))
    prefix = device_names.MODEL_TRAIT_PREFIX
    traits = reader.placement("/traits", name=f"startswith:{prefix}")["traits"] if bodies else []
    gpus = _with_traits(reader, f"in:{','.join(traits)}") if traits else []
    return PciProviders(roots, names, frozenset(gpu["root_provider_uuid"] for gpu in gpus))


def model_of(resource_class: str) -> str | None:
    """Return the GPU model of a resource class that Nova derived from vendor and product id."""
    ids = resource_names.ids_of(resource_class)
    model = models.lookup(*ids) if ids else None
    return model.name if model else None


def trees(
    reader: CloudReader,
    roots: Mapping[str, str],
    pci: PciProviders,
    with_all_children: Collection[str] = (),
) -> dict[str, ProviderTree]:
    """Read the provider trees of compute nodes, by UUID of the root provider.

    :param roots: names of the root providers by UUID
    :param with_all_children: roots whose children are all read and not only PCI devices: those of
        hosts with vGPUs
    """
    children: dict[str, dict[str, str]] = {}
    for device, root in pci.roots.items():
        children.setdefault(root, {})[device] = pci.names[device]

    def read(root: str) -> ProviderTree:
        """Read a tree, without the providers that another service added to one of Nova 34."""
        names = children.get(root, {})
        if root in with_all_children:
            bodies = reader.placement("/resource_providers", in_tree=root)["resource_providers"]
            names = {body["uuid"]: body["name"] for body in bodies if body["uuid"] != root}
        tree = _tree(reader, root, roots[root], names)
        if OWNER_NOVA not in tree.root.traits:
            return tree
        devices = (device for device in tree.devices if OWNER_NOVA in device.traits)
        return ProviderTree(tree.root, tuple(devices))

    return _with_exact_inventories(reader, reader.each("compute nodes in Placement", roots, read))


def with_lacking_traits(
    reader: CloudReader, tree: ProviderTree, names: Collection[str]
) -> ProviderTree:
    """Add devices that lack the traits that `trees` searches for.

    nova-compute sets these traits, and an operator's command can remove them.

    :param names: names of the providers to look for
    """
    bodies = reader.placement("/resource_providers", in_tree=tree.root.uuid)["resource_providers"]
    required = frozenset({COMPUTE_MANAGED_PCI_DEVICE}) | (tree.root.traits & {OWNER_NOVA})
    found = [
        _provider(reader, body["uuid"], body["name"]) for body in bodies if body["name"] in names
    ]
    return ProviderTree(
        tree.root,
        (
            *tree.devices,
            *(dataclasses.replace(each, lacking=required - each.traits) for each in found),
        ),
    )


def allocations_of_providers(
    reader: CloudReader, providers: Collection[str]
) -> dict[str, dict[str, int]]:
    """Read the allocated units by consumer, by provider."""
    bodies = reader.each(
        "allocations of devices",
        providers,
        lambda provider: _get(reader, f"/resource_providers/{provider}/allocations", "allocations"),
    )
    return {
        provider: {
            consumer: sum(entry["resources"].values()) for consumer, entry in consumers.items()
        }
        for provider, consumers in zip(providers, bodies, strict=True)
    }


def allocations_of_consumers(
    reader: CloudReader, consumers: Collection[str]
) -> dict[str, dict[str, int]]:
    """Read the same by consumer: fewer requests where each consumer has several devices."""
    bodies = reader.each(
        "allocations of servers",
        consumers,
        lambda consumer: _get(reader, f"/allocations/{consumer}", "allocations"),
    )
    units: dict[str, dict[str, int]] = {}
    for consumer, providers in zip(consumers, bodies, strict=True):
        for provider, entry in providers.items():
            units.setdefault(provider, {})[consumer] = sum(entry["resources"].values())
    return units


def _with_traits(reader: CloudReader, required: str) -> list[Mapping[str, Any]]:
    bodies: list[Mapping[str, Any]] = reader.placement("/resource_providers", required=required)[
        "resource_providers"
    ]
    return bodies


def _get(reader: CloudReader, path: str, name: str) -> Mapping[str, Any]:
    """Return one field of a response; empty for an object that was deleted in the meantime."""
    try:
        value: Mapping[str, Any] = reader.placement(path)[name]
    except exceptions.HttpException as error:
        if is_not_found(error):
            return {}
        raise
    return value


def _tree(reader: CloudReader, root: str, name: str, names: Mapping[str, str]) -> ProviderTree:
    """Read one tree.

    :param name: name of the root provider
    :param names: names of the devices' providers by UUID
    """
    inventories = _get(reader, f"/resource_providers/{root}/inventories", "inventories")
    summaries = _summaries(reader, root, inventories)
    if summaries is None:
        # The root has nothing free: read each provider by itself.
        devices = [_provider(reader, *device) for device in names.items()]
        return ProviderTree(
            _provider(reader, root, name), tuple(device for device in devices if device.resources)
        )
    own = summaries[root]
    used = {key: entry["used"] for key, entry in own["resources"].items()}
    resources = {
        key: _resource(inventory, used.get(key, 0)) for key, inventory in inventories.items()
    }
    return ProviderTree(
        ResourceProvider(root, name, frozenset(own["traits"]), resources),
        tuple(
            ResourceProvider(
                uuid,
                names[uuid],
                frozenset(summary["traits"]),
                {key: _resource_of_summary(entry) for key, entry in summary["resources"].items()},
            )
            for uuid, summary in summaries.items()
            if uuid in names and summary["root_provider_uuid"] == root
        ),
    )


def _summaries(
    reader: CloudReader, root: str, inventories: Mapping[str, Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    for name in _ROOT_CLASSES:
        inventory = inventories.get(name)
        if inventory and _resource(inventory, 0).capacity > 0 and inventory["min_unit"] == 1:
            summaries: Mapping[str, Any] = reader.placement(
                "/allocation_candidates", resources=f"{name}:1", in_tree=root
            )["provider_summaries"]
            if root in summaries:
                return summaries
    return None


def _provider(reader: CloudReader, uuid: str, name: str) -> ResourceProvider:
    """Read one provider with three requests."""
    base = f"/resource_providers/{uuid}"
    used = _get(reader, f"{base}/usages", "usages")
    return ResourceProvider(
        uuid,
        name,
        frozenset(_get(reader, f"{base}/traits", "traits")),
        {
            key: _resource(inventory, used.get(key, 0))
            for key, inventory in _get(reader, f"{base}/inventories", "inventories").items()
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


def _resource_of_summary(entry: Mapping[str, int]) -> Resource:
    """Convert an entry of a provider summary, which has no ``max_unit``.

    Nova lets all units of a device be allocated to one server.
    """
    capacity = max(entry["capacity"], 0)
    return Resource(capacity, used=entry["used"], max_unit=max(capacity, 1))


def _with_exact_inventories(
    reader: CloudReader, found: list[ProviderTree]
) -> dict[str, ProviderTree]:
    """Read the inventories of devices that a provider summary does not describe completely.

    A capacity of 1 in a class where no provider has more means total 1 and reserved 0. A capacity
    of 0 is a reserved device; more are the VFs of one PF.
    """
    multi_unit_classes = {
        name
        for tree in found
        for device in tree.devices
        for name, resource in device.resources.items()
        if resource.capacity > 1
    }
    incomplete = [
        (device.uuid, device.name)
        for tree in found
        for device in tree.devices
        if any(
            resource.capacity != 1 or name in multi_unit_classes
            for name, resource in device.resources.items()
        )
    ]
    read = reader.each(
        "inventories of devices", incomplete, lambda device: _provider(reader, *device)
    )
    exact = {provider.uuid: provider for provider in read}
    return {
        tree.root.uuid: ProviderTree(
            tree.root, tuple(exact.get(device.uuid, device) for device in tree.devices)
        )
        for tree in found
    }
