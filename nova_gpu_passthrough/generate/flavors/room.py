# SPDX-License-Identifier: Apache-2.0
"""An empty host, and what a server of a flavor needs of it, in the words of ``topology``."""

from collections.abc import Iterable, Iterator, Mapping

from nova_gpu_passthrough import extra_specs as gpu_specs
from nova_gpu_passthrough.fleet.desired import Flavor
from nova_gpu_passthrough.generate import memory
from nova_gpu_passthrough.generate.aliases import Alias, Key, key_of
from nova_gpu_passthrough.generate.flavors.layout import Layout
from nova_gpu_passthrough.generate.flavors.specs import AFFINITY
from nova_gpu_passthrough.generate.references import PCI_ALIAS, parse_aliases
from nova_gpu_passthrough.generate.selection import Kind, Offered
from nova_gpu_passthrough.generate.settings import Settings
from nova_gpu_passthrough.inventory.pci import DeviceType
from nova_gpu_passthrough.topology import guest, room
from nova_gpu_passthrough.topology.model import Demand, Device, Gpu, GpuRequest, NumaPolicy
from nova_gpu_passthrough.topology.room import Amount, Needs, Query, Room, RoomDevice

#: ``initial_cpu_allocation_ratio`` of Nova, which counts for CPUs that are shared.
_CPU_RATIO = 4.0


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
    """What a server of the flavor needs, traits and disk aside.

    :raises ValueError: with a sentence, if Nova or nova-api refuses the flavor
    """
    specs = flavor.extra_specs
    by_name = {alias.name: alias for alias in known.values()}
    wanted = gpu_specs.parse(specs)
    gpus: list[Demand] = []
    attached: list[Demand] = []
    kinds = []
    for name, count in parse_aliases(specs.get(PCI_ALIAS, "")).items():
        alias = by_name[name]
        demand = Demand(name, name, count, NumaPolicy(specs.get(AFFINITY) or alias.numa_policy))
        kinds.append((name, room.Kind(alias.resource_class)))
        (gpus if alias.kind is Kind.GPU else attached).append(demand)
    asked = guest.read(flavor.vcpus, flavor.ram_mib, specs)
    request = GpuRequest(
        tuple(gpus),
        tuple(attached),
        wanted.link,
        wanted.switch,
        wanted.numa,
        wanted.companions,
        asked.cells,
    )
    amounts = {
        "PCPU": asked.pinned_cpus,
        "VCPU": flavor.vcpus - sum(cell.pinned_cpus for cell in asked.cells),
        "MEMORY_MB": flavor.ram_mib,
    }
    resources = tuple((name, amount) for name, amount in amounts.items() if amount)
    return Needs(request, asked, tuple(kinds), Query(resources))


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
