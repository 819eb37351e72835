# SPDX-License-Identifier: Apache-2.0
"""Build the devices of a host from Placement's providers, its inventory and their consumers."""

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from os_traits import HW_PCI_ONE_TIME_USE

from nova_gpu_passthrough.catalog import models
from nova_gpu_passthrough.cloud.view import providers
from nova_gpu_passthrough.cloud.view.model import CloudDevice, DeviceState, Resource
from nova_gpu_passthrough.cloud.view.providers import ResourceProvider
from nova_gpu_passthrough.fleet import device_names
from nova_gpu_passthrough.fleet.offers import DeviceKind, OfferedDevice

#: ``<node>_<ADDRESS>`` for PCI devices (``_get_rp_name_for_address`` in
#: nova/compute/pci_placement_translator.py), ``<node>_pci_0000_84_00_0`` for vGPUs.
_NAME = re.compile(
    r"(?P<node>.+)_((?P<pci>[0-9A-F]{4}:[0-9A-F]{2}:[0-9A-F]{2}\.[0-7])"
    r"|pci_(?P<vgpu>[0-9a-f]{4}_[0-9a-f]{2}_[0-9a-f]{2}_[0-7]))"
)


@dataclass(frozen=True)
class DeviceConsumer:
    """A consumer to which a device is allocated."""

    uuid: str
    #: Why the allocation is wrong; empty if it is right or was not checked.
    error: str = ""
    #: A remark on an allocation that is right.
    note: str = ""


def node_name(provider: str) -> str | None:
    """Return the hypervisor's name that is in the name of a device's provider."""
    match = _NAME.fullmatch(provider)
    return match["node"] if match else None


def pci_address(provider: str) -> str | None:
    """Return the PCI address that is in the name of a device's provider, in lower case."""
    match = _NAME.fullmatch(provider)
    if match is None:
        return None
    domain, bus, slot, function = re.split(r"[:_.]", (match["pci"] or match["vgpu"]).lower())
    return f"{domain}:{bus}:{slot}.{function}"


def provider_name(node: str, address: str) -> str:
    """Return the name of the provider of a PCI device."""
    return f"{node}_{address.upper()}"


def device(
    host: str,
    provider: ResourceProvider,
    offered: Sequence[OfferedDevice],
    consumers: Sequence[DeviceConsumer],
    known_models: Iterable[str] = (),
) -> CloudDevice:
    """Build a device that Placement has.

    :param offered: the device in the host's inventory, or its VFs; empty if it is not there
    :param known_models: names of GPU models that a trait can mean, besides those of the catalogue
    """
    resource_class, resource = next(iter(provider.resources.items()), ("", Resource(0)))
    state, note = _state(provider, resource_class, resource, consumers)
    if provider.lacking:
        state, note = _state_without_traits(host, provider, state, note)
    address = pci_address(provider.name) or provider.name
    if offered:
        built = _from_inventory(host, address, resource_class, state, offered)
    else:
        link = device_names.link_group_of(provider.traits)
        built = CloudDevice(
            host,
            address,
            resource_class,
            _model(resource_class, provider.traits, known_models),
            state,
            device_names.numa_node_of(provider.traits),
            (link,) if link else (),
        )
    return dataclasses.replace(
        built,
        provider=provider.uuid,
        traits=provider.traits,
        lacking_traits=provider.lacking,
        resource=resource,
        consumers=tuple(consumer.uuid for consumer in consumers),
        note=note,
    )


def missing(
    host: str, address: str, offered: Sequence[OfferedDevice], resource_class: str, why: str
) -> CloudDevice:
    """Build a device, or the VFs of one, that is in an inventory and not in Placement."""
    built = _from_inventory(host, address, resource_class, DeviceState.MISSING, offered)
    return dataclasses.replace(built, resource=Resource(len(offered)), note=why)


def _from_inventory(
    host: str,
    address: str,
    resource_class: str,
    state: DeviceState,
    offered: Sequence[OfferedDevice],
) -> CloudDevice:
    """Build a device from the inventory; for VFs, from what all VFs of the PF have in common."""
    first = offered[0]
    gpus = [item.gpu for item in offered if item.gpu is not None]
    is_gpu = first.kind is DeviceKind.GPU
    links = {gpu.link_group for gpu in gpus} if is_gpu else set()
    nodes = {item.device.numa_node for item in offered}
    serials = {item.device.serial for item in offered}
    return CloudDevice(
        host,
        address,
        resource_class,
        first.model if is_gpu else None,
        state,
        nodes.pop() if len(nodes) == 1 else None,
        links.pop() if len(links) == 1 else (),
        first.switch,
        gpus[0].card if gpus else None,
        serials.pop() if len(serials) == 1 else None,
    )


def _model(resource_class: str, traits: frozenset[str], known: Iterable[str]) -> str | None:
    if device_names.is_companion_class(resource_class):
        return None
    model = device_names.model_of(traits, (*models.names(), *known))
    return model or providers.model_of(resource_class)


def _state(
    provider: ResourceProvider,
    resource_class: str,
    resource: Resource,
    consumers: Sequence[DeviceConsumer],
) -> tuple[DeviceState, str]:
    """Return the state of a device, and a note on its consumers or how to free it."""
    errors = [consumer.error for consumer in consumers if consumer.error]
    notes = "; ".join([*errors, *(consumer.note for consumer in consumers if consumer.note)])
    if errors and len(errors) == len(consumers):
        return DeviceState.STUCK, notes
    if resource.free:
        # Other VFs of the device may be in use.
        return DeviceState.FREE, notes
    if consumers or resource.used:
        return DeviceState.IN_USE, notes
    if not resource.total:
        return DeviceState.RESERVED, "it has no inventory: see the log of nova-compute"
    free = (
        "`openstack resource provider inventory set --amend "
        f"--resource {resource_class}:reserved=0 {provider.uuid}`"
    )
    if HW_PCI_ONE_TIME_USE in provider.traits:
        return DeviceState.RESERVED, f"not cleaned since its last server: clean it, then {free}"
    return DeviceState.RESERVED, f"reserved by hand: to free it, {free}"


def _state_without_traits(
    host: str, provider: ResourceProvider, state: DeviceState, note: str
) -> tuple[DeviceState, str]:
    """Return state and note of a device whose provider lacks traits that Nova sets."""
    lacking = sorted(provider.lacking)
    text = (
        f"its resource provider lacks the trait{'s' if len(lacking) > 1 else ''} "
        f"{' and '.join(lacking)}, which nova-compute sets every few minutes: check on {host} that "
        "it runs, and its log"
    )
    if providers.OWNER_NOVA in provider.lacking:
        text += "; no server gets it before"
        if state is DeviceState.FREE:
            state = DeviceState.MISSING
    return state, "; ".join(filter(None, (text, note)))


def by_address(offered: Iterable[OfferedDevice]) -> Mapping[str, list[OfferedDevice]]:
    """Group the devices of an inventory by the address of their provider: for a VF, its PF."""
    groups: dict[str, list[OfferedDevice]] = {}
    for item in offered:
        address = item.device.physical_function or item.address
        groups.setdefault(address, []).append(item)
    return groups
