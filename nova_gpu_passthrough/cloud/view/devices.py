# SPDX-License-Identifier: Apache-2.0
"""What a provider in Placement, an inventory of the host, and consumers tell of a device."""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from os_traits import HW_PCI_ONE_TIME_USE

from nova_gpu_passthrough.catalog import models
from nova_gpu_passthrough.cloud.view import providers
from nova_gpu_passthrough.cloud.view.model import Device, DeviceState, Resource
from nova_gpu_passthrough.cloud.view.providers import MODEL_TRAIT, Provider
from nova_gpu_passthrough.fleet import aliases
from nova_gpu_passthrough.fleet.offers import Kind, Offered

#: ``<node>_<ADDRESS>`` of PCI devices (``_get_rp_name_for_address`` in
#: nova/compute/pci_placement_translator.py), ``<node>_pci_0000_84_00_0`` of vGPUs.
_NAME = re.compile(
    r"(?P<node>.+)_((?P<pci>[0-9A-F]{4}:[0-9A-F]{2}:[0-9A-F]{2}\.[0-7])"
    r"|pci_(?P<vgpu>[0-9a-f]{4}_[0-9a-f]{2}_[0-9a-f]{2}_[0-7]))"
)
#: Classes of companions, as generate/aliases.py names them.
_COMPANION = re.compile(r"CUSTOM_GPU_.+_(AUDIO|USB|UCSI)(_TYPE_(PCI|PF|VF))?")
_NUMA_TRAIT = re.compile(r"CUSTOM_(?:GPU|NIC)_NUMA_(\d+)")
_LINK_TRAIT = re.compile(r"CUSTOM_GPU_LINK_(.+)")


@dataclass(frozen=True)
class Holder:
    """A consumer of a device."""

    consumer: str
    #: Why it should not hold the device; empty if it may.
    wrong: str = ""
    #: What else is to be told of it.
    remark: str = ""


def node_of(name: str) -> str | None:
    """The hypervisor's name in a device's provider's."""
    found = _NAME.fullmatch(name)
    return found["node"] if found else None


def address_of(name: str) -> str | None:
    """The PCI address in a device's provider's name, in lower case."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    domain, bus, slot, function = re.split(r"[:_.]", (found["pci"] or found["vgpu"]).lower())
    return f"{domain}:{bus}:{slot}.{function}"


def device(
    host: str,
    provider: Provider,
    offered: Sequence[Offered],
    holders: Sequence[Holder],
    known_models: Iterable[str] = (),
) -> Device:
    """One device that Placement knows.

    :param offered: what the host's inventory says of that address: the device, or its VFs
    :param known_models: names of models that a trait may stand for, besides the catalogue's
    """
    resource_class, resource = next(iter(provider.resources.items()), ("", Resource(0)))
    state, note = _state(provider, resource_class, resource, holders)
    address = address_of(provider.name) or provider.name
    if offered:
        found = _told(host, address, resource_class, state, offered)
    else:
        links = sorted(_matches(_LINK_TRAIT, provider.traits))
        found = Device(
            host,
            address,
            resource_class,
            _model(resource_class, provider.traits, known_models),
            state,
            min(map(int, _matches(_NUMA_TRAIT, provider.traits)), default=None),
            # Traits are in capitals; names of link groups nearly always are not.
            (links[0].lower(),) if links else (),
        )
    return dataclasses.replace(
        found,
        provider=provider.uuid,
        traits=provider.traits,
        resource=resource,
        consumers=tuple(holder.consumer for holder in holders),
        note=note,
    )


def missing(host: str, address: str, offered: Sequence[Offered], alias: str, why: str) -> Device:
    """A device, or the VFs of one, that an inventory has and Placement does not know.

    :param alias: its resource class
    """
    found = _told(host, address, alias, DeviceState.MISSING, offered)
    return dataclasses.replace(found, resource=Resource(len(offered)), note=why)


def _told(
    host: str, address: str, resource_class: str, state: DeviceState, offered: Sequence[Offered]
) -> Device:
    """With what an inventory tells; of VFs, what is the same for all of one PF."""
    first = offered[0]
    gpus = [item.gpu for item in offered if item.gpu is not None]
    is_gpu = first.kind is Kind.GPU
    links = {gpu.link_group for gpu in gpus} if is_gpu else set()
    nodes = {item.device.numa_node for item in offered}
    return Device(
        host,
        address,
        resource_class,
        first.model if is_gpu else None,
        state,
        nodes.pop() if len(nodes) == 1 else None,
        links.pop() if len(links) == 1 else (),
        first.switch,
        gpus[0].card if gpus else None,
    )


def _model(resource_class: str, traits: frozenset[str], known: Iterable[str]) -> str | None:
    if _COMPANION.fullmatch(resource_class):
        return None
    told = [trait for trait in traits if trait.startswith(MODEL_TRAIT)]
    if not told:
        return providers.model_of(resource_class)
    names = {aliases.trait("GPU_MODEL", name): name for name in (*models.names(), *known)}
    return names.get(min(told), min(told).removeprefix(MODEL_TRAIT))


def _matches(pattern: re.Pattern[str], traits: Iterable[str]) -> Iterator[str]:
    for trait in traits:
        found = pattern.fullmatch(trait)
        if found:
            yield found[1]


def _state(
    provider: Provider, resource_class: str, resource: Resource, holders: Sequence[Holder]
) -> tuple[DeviceState, str]:
    wrong = [holder.wrong for holder in holders if holder.wrong]
    notes = "; ".join([*wrong, *(holder.remark for holder in holders if holder.remark)])
    if wrong and len(wrong) == len(holders):
        return DeviceState.STUCK, notes
    if resource.free:
        # VFs: others may be in use.
        return DeviceState.FREE, notes
    if holders or resource.used:
        return DeviceState.IN_USE, notes
    if not resource.total:
        return DeviceState.RESERVED, "it has no inventory: see the log of nova-compute"
    free = (
        "openstack resource provider inventory set --amend "
        f"--resource {resource_class}:reserved=0 {provider.uuid}"
    )
    if HW_PCI_ONE_TIME_USE in provider.traits:
        return DeviceState.RESERVED, f"not cleaned since its last server: clean it, then {free}"
    return DeviceState.RESERVED, f"reserved by hand: to free it, {free}"


def by_address(offered: Iterable[Offered]) -> Mapping[str, list[Offered]]:
    """Devices of an inventory by the address of their provider: a VF's is its PF's."""
    found: dict[str, list[Offered]] = {}
    for item in offered:
        address = item.device.physical_function or item.address
        found.setdefault(address, []).append(item)
    return found
