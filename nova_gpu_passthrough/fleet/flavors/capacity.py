# SPDX-License-Identifier: Apache-2.0
"""An empty host, and what a server of a flavor needs of it, in the words of ``topology``."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from nova_gpu_passthrough.fleet import demand, memory
from nova_gpu_passthrough.fleet.aliases import Alias, Key, key_of
from nova_gpu_passthrough.fleet.desired import Flavor
from nova_gpu_passthrough.fleet.flavors.layout import Layout
from nova_gpu_passthrough.fleet.offers import Kind, Offered
from nova_gpu_passthrough.fleet.settings import Settings
from nova_gpu_passthrough.inventory.pci import DeviceType
from nova_gpu_passthrough.nova_rules.host_capacity import Amount, Needs, Query, Room, RoomDevice
from nova_gpu_passthrough.topology.model import Device, Gpu

#: ``initial_cpu_allocation_ratio`` of Nova, which counts for CPUs that are shared.
_CPU_RATIO = 4.0
#: The resource classes of an empty host; its disk is in no inventory.
_TOLD = ("PCPU", "VCPU", "MEMORY_MB")


def of(layout: Layout, known: Mapping[Key, Alias], settings: Settings) -> Room:
    """The host without any server."""
    cells = [node.cell for node in layout.nodes]
    pinned = sum(len(cell.dedicated) for cell in cells)
    shared = sum(len(cell.shared) for cell in cells)
    plan = memory.plan(layout.offer, settings.reserved_host_memory_mb, settings.hugepages)
    ram = plan.total_mib - plan.reserved_mib if plan else 0
    amounts = {
        "PCPU": Amount(pinned, max_unit=pinned),
        "VCPU": Amount(int(shared * _CPU_RATIO), 0, shared, _CPU_RATIO),
        "MEMORY_MB": Amount(ram, max_unit=ram),
    }
    return Room(tuple(amounts.items()), layout.cells, tuple(_devices(layout.offer.devices, known)))


def needs(flavor: Flavor, known: Mapping[Key, Alias]) -> Needs:
    """What a server of the flavor needs of what `of` tells.

    :raises ValueError: with a sentence, if Nova or nova-api refuses the flavor
    """
    size = demand.Size(flavor.vcpus, flavor.ram_mib)
    asked = demand.read(size, flavor.extra_specs, demand.by_name(known.values()))
    if asked.invalid:
        raise ValueError(asked.invalid)
    resources = [one for one in asked.needs.query.resources if one[0] in _TOLD]
    return replace(asked.needs, query=Query(tuple(resources)), fallback=None)


def _devices(offered: Iterable[Offered], known: Mapping[Key, Alias]) -> Iterator[RoomDevice]:
    """Devices by address; the VFs of a PF are one, as in Placement."""
    functions: dict[tuple[str, str], list[Offered]] = {}
    for one in offered:
        parent = one.device.physical_function
        address = parent if one.device.device_type is DeviceType.VF and parent else one.address
        functions.setdefault((address, known[key_of(one)].resource_class), []).append(one)
    for (address, resource_class), members in sorted(functions.items()):
        first = members[0]
        card = first.gpu.card if first.gpu else None
        device: Gpu | Device = Device(address, first.device.numa_node, first.switch, card)
        if first.gpu is not None and first.kind is Kind.GPU:
            device = Gpu(
                address,
                first.model,
                first.device.numa_node,
                first.gpu.link_group,
                first.switch,
                card,
            )
        yield RoomDevice(resource_class, device, free=len(members))
