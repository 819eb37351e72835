# SPDX-License-Identifier: Apache-2.0
"""Empty hosts of a fleet, and the demand of a server on them, as ``nova_rules`` describes both."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from nova_gpu_passthrough.fleet import demand
from nova_gpu_passthrough.fleet.aliases import AliasMap, alias_key
from nova_gpu_passthrough.fleet.desired_state import Flavor
from nova_gpu_passthrough.fleet.flavors import host_layout
from nova_gpu_passthrough.fleet.flavors.host_layout import HostLayout
from nova_gpu_passthrough.fleet.offers import DeviceKind, HostOffer, OfferedDevice
from nova_gpu_passthrough.fleet.settings import Settings
from nova_gpu_passthrough.inventory.pci import DeviceType
from nova_gpu_passthrough.nova_rules.host_capacity import (
    Amount,
    DeviceCapacity,
    HostCapacity,
    PlacementQuery,
    ServerDemand,
)
from nova_gpu_passthrough.topology.model import FreeDevice, FreeGpu

#: Nova's ``initial_cpu_allocation_ratio``, which applies to shared CPUs.
_CPU_ALLOCATION_RATIO = 4.0
#: The resource classes of an empty host. The inventory does not have the host's disk.
_RESOURCE_CLASSES = ("PCPU", "VCPU", "MEMORY_MB")


class EmptyHost(NamedTuple):
    """A host without servers."""

    layout: HostLayout
    capacity: HostCapacity


def make(offer: HostOffer, aliases: AliasMap, settings: Settings) -> EmptyHost:
    """Make the empty host of an offer, with the nova.conf that is generated for it."""
    layout = host_layout.make(offer, aliases, settings)
    return EmptyHost(layout, _capacity(layout, aliases))


def server_demand(flavor: Flavor, aliases: AliasMap) -> ServerDemand:
    """Return the demand of a server, without resources that an empty host does not have.

    :raises ValueError: with a sentence, if Nova or nova-api refuses the flavor
    """
    size = demand.FlavorSize(flavor.vcpus, flavor.ram_mib)
    flavor_demand = demand.read(size, flavor.extra_specs, demand.by_name(aliases.values()))
    if flavor_demand.invalid:
        raise ValueError(flavor_demand.invalid)
    server = flavor_demand.server_demand
    fallback = _without_other_resources(server.fallback) if server.fallback else None
    return replace(server, query=_without_other_resources(server.query), fallback=fallback)


def _without_other_resources(query: PlacementQuery) -> PlacementQuery:
    return PlacementQuery(tuple(one for one in query.resources if one[0] in _RESOURCE_CLASSES))


def _capacity(layout: HostLayout, aliases: AliasMap) -> HostCapacity:
    reported = layout.resources
    ram = reported.memory_mib - (reported.reserved_mib or 0)
    amounts = {
        "PCPU": Amount(reported.pcpus, max_unit=reported.pcpus),
        "VCPU": Amount(
            int(reported.vcpus * _CPU_ALLOCATION_RATIO), 0, reported.vcpus, _CPU_ALLOCATION_RATIO
        ),
        "MEMORY_MB": Amount(ram, max_unit=ram),
    }
    devices = tuple(_devices(layout.offer.devices, aliases))
    return HostCapacity(tuple(amounts.items()), reported.cells, devices)


def _devices(offered: Iterable[OfferedDevice], aliases: AliasMap) -> Iterator[DeviceCapacity]:
    """Yield devices by address; the VFs of a PF are one device, as in Placement."""
    functions: dict[tuple[str, str], list[OfferedDevice]] = {}
    for function in offered:
        parent = function.device.physical_function
        is_vf = function.device.device_type is DeviceType.VF
        address = parent if is_vf and parent else function.address
        resource_class = aliases[alias_key(function)].resource_class
        functions.setdefault((address, resource_class), []).append(function)
    for (address, resource_class), members in sorted(functions.items()):
        first = members[0]
        card = first.gpu.card if first.gpu else None
        device: FreeGpu | FreeDevice = FreeDevice(
            address, first.device.numa_node, first.switch, card
        )
        if first.gpu is not None and first.kind is DeviceKind.GPU:
            device = FreeGpu(
                address,
                first.model,
                first.device.numa_node,
                first.gpu.link_group,
                first.switch,
                card,
            )
        yield DeviceCapacity(resource_class, device, free=len(members))
