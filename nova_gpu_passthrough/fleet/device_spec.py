# SPDX-License-Identifier: Apache-2.0
"""``[pci] device_spec``: one entry for each offered function, by address and ids."""

import json
from collections.abc import Iterator, Mapping

from nova_gpu_passthrough.fleet import device_names
from nova_gpu_passthrough.fleet.aliases import Alias, AliasMap, alias_key
from nova_gpu_passthrough.fleet.offers import DeviceKind, HostOffer, OfferedDevice
from nova_gpu_passthrough.fleet.settings import Settings
from nova_gpu_passthrough.inventory.pci import DeviceType
from nova_gpu_passthrough.topology import tags


def make(offer: HostOffer, aliases: AliasMap, settings: Settings) -> list[dict[str, str]]:
    """Make the entries of a host, sorted by address.

    Every value is a string, since Nova compares tags as strings.
    """
    traits = {offered.address: set(_traits(offered)) for offered in offer.devices}
    for offered in offer.devices:
        parent = offered.device.physical_function
        if parent:
            # The VFs of a PF have one resource provider, so they must have the same traits
            # (add_child in nova/compute/pci_placement_translator.py).
            traits[offered.address] = set.intersection(
                *(
                    traits[other.address]
                    for other in offer.devices
                    if other.device.physical_function == parent
                )
            )
    return [
        _entry(offered, aliases[alias_key(offered)], traits[offered.address], settings)
        for offered in offer.devices
    ]


def to_json(entry: Mapping[str, str]) -> str:
    """Return the value of the option."""
    return json.dumps(entry)


def _entry(
    offered: OfferedDevice, alias: Alias, traits: set[str], settings: Settings
) -> dict[str, str]:
    device, gpu = offered.device, offered.gpu
    entry = {
        "address": device.address,
        "vendor_id": device.vendor_id,
        "product_id": device.product_id,
        "resource_class": alias.resource_class,
        "traits": ",".join(sorted(traits)),
    }
    if offered.bound:
        # vfio-pci binds it at boot. If that failed, libvirt would, with "yes", unbind the GPU from
        # a driver that uses it, which can hang the host; with "no", the server fails to start.
        entry["managed"] = "no"
    if _one_time(offered, settings):
        entry["one_time_use"] = "true"
    if gpu is not None and offered.kind is DeviceKind.GPU:
        entry[tags.MODEL] = gpu.model
        if gpu.link_group:
            entry[tags.LINK_GROUP] = tags.LINK_SEPARATOR.join(gpu.link_group)
    if offered.switch:
        entry[tags.SWITCH] = offered.switch
    if gpu is not None:
        entry[tags.CARD] = gpu.card
    return {key: value for key, value in entry.items() if value}


def _one_time(offered: OfferedDevice, settings: Settings) -> bool:
    # Nova refuses the tag on VFs.
    return (
        settings.one_time_use
        and settings.release.one_time_use
        and offered.kind is DeviceKind.GPU
        and offered.device.device_type is not DeviceType.VF
    )


def _traits(offered: OfferedDevice) -> Iterator[str]:
    """Yield traits that show model, link group and NUMA node of a device in Placement."""
    if offered.gpu is not None:
        yield device_names.model_trait(offered.gpu.model)
        if offered.kind is DeviceKind.GPU and offered.gpu.link_group:
            yield device_names.link_trait(offered.gpu.link_group[0])
    if offered.device.numa_node is not None:
        yield device_names.numa_trait(offered.kind, offered.device.numa_node)
