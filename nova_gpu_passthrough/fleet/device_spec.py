# SPDX-License-Identifier: Apache-2.0
"""``[pci] device_spec``: one entry per function, by address and ids."""

import json
from collections.abc import Iterator, Mapping

from nova_gpu_passthrough.fleet import aliases
from nova_gpu_passthrough.fleet.aliases import Alias, Key
from nova_gpu_passthrough.fleet.offers import Kind, Offer, Offered
from nova_gpu_passthrough.fleet.settings import Settings
from nova_gpu_passthrough.inventory.pci import DeviceType
from nova_gpu_passthrough.topology import tags


def make(offer: Offer, known: Mapping[Key, Alias], settings: Settings) -> list[dict[str, str]]:
    """The entries of a host, in the order of their addresses.

    Every value is a string, since Nova compares tags as strings.
    """
    traits = {offered.address: set(_traits(offered)) for offered in offer.devices}
    for offered in offer.devices:
        parent = offered.device.physical_function
        if parent:
            # VFs share their PF's resource provider, so must have the same traits
            # (add_child in nova/compute/pci_placement_translator.py).
            traits[offered.address] = set.intersection(
                *(
                    traits[other.address]
                    for other in offer.devices
                    if other.device.physical_function == parent
                )
            )
    return [
        _entry(offered, known[aliases.key_of(offered)], traits[offered.address], settings)
        for offered in offer.devices
    ]


def to_json(entry: Mapping[str, str]) -> str:
    """The option's value."""
    return json.dumps(entry)


def _entry(offered: Offered, alias: Alias, traits: set[str], settings: Settings) -> dict[str, str]:
    device, gpu = offered.device, offered.gpu
    entry = {
        "address": device.address,
        "vendor_id": device.vendor_id,
        "product_id": device.product_id,
        "resource_class": alias.resource_class,
        "traits": ",".join(sorted(traits)),
    }
    if offered.bound:
        # vfio-pci has it since boot. With "yes", libvirt would take a GPU whose binding failed
        # away from a driver that works with it, which can hang the host; with "no", the server
        # fails to start.
        entry["managed"] = "no"
    if _one_time(offered, settings):
        entry["one_time_use"] = "true"
    if gpu is not None and offered.kind is Kind.GPU:
        entry[tags.MODEL] = gpu.model
        if gpu.link_group:
            entry[tags.LINK_GROUP] = tags.LINK_SEPARATOR.join(gpu.link_group)
    if offered.switch:
        entry[tags.SWITCH] = offered.switch
    if gpu is not None:
        entry[tags.CARD] = gpu.card
    return {key: value for key, value in entry.items() if value}


def _one_time(offered: Offered, settings: Settings) -> bool:
    # Nova refuses the tag on VFs.
    return (
        settings.one_time_use
        and settings.release.one_time_use
        and offered.kind is Kind.GPU
        and offered.device.device_type is not DeviceType.VF
    )


def _traits(offered: Offered) -> Iterator[str]:
    """So that Placement alone can show, and aliases ask for, model, NUMA node and link group."""
    if offered.gpu is not None:
        yield aliases.trait("GPU_MODEL", offered.gpu.model)
        if offered.kind is Kind.GPU and offered.gpu.link_group:
            yield aliases.trait("GPU_LINK", offered.gpu.link_group[0])
    if offered.device.numa_node is not None:
        family = "NIC" if offered.kind is Kind.NIC else "GPU"
        yield aliases.trait(f"{family}_NUMA", str(offered.device.numa_node))
