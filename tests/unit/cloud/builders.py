# SPDX-License-Identifier: Apache-2.0
"""Views of clouds, and aliases, for tests of what counts and explains.

Hosts are what nova-compute would report with the generator's files; see ``clouds.fleet``.
"""

import dataclasses

from nova_gpu_passthrough.cloud.view import numa
from nova_gpu_passthrough.cloud.view.model import (
    CellUse,
    CloudFlavor,
    CloudView,
    Device,
    DeviceState,
    Host,
    Resource,
    Server,
)
from nova_gpu_passthrough.fleet import aliases
from nova_gpu_passthrough.fleet.aliases import Alias
from nova_gpu_passthrough.fleet.offers import Kind
from nova_gpu_passthrough.inventory.pci import DeviceType

NOW = "2026-01-02T03:04:05Z"
USAGE = {
    DeviceState.FREE: Resource(1),
    DeviceState.IN_USE: Resource(1, used=1),
    DeviceState.STUCK: Resource(1, used=1),
    DeviceState.RESERVED: Resource(1, reserved=1),
    DeviceState.MISSING: Resource(1),
}


def alias(name="h100", model=None, kind="gpu", numa_policy="legacy", resource_class=None):
    """An alias of the fleet; its resource class is CUSTOM_<NAME>."""
    return Alias(
        name,
        resource_class or f"CUSTOM_{name.upper().replace('-', '_')}",
        DeviceType.PCI,
        Kind(kind),
        model or name.upper(),
        numa_policy,
    )


def flavor(name, gpus=1, vcpus=2, ram=8192, alias="h100-sxm", **extra_specs):
    """A flavor with pinned CPUs; in names of extra specs, ``__`` stands for a colon."""
    specs = {
        "hw:cpu_policy": "dedicated",
        "hw:numa_nodes": "1",
        "hw:pci_numa_affinity_policy": "required",
    }
    if gpus:
        specs["pci_passthrough:alias"] = f"{alias}:{gpus}"
    specs |= {key.replace("__", ":"): value for key, value in extra_specs.items()}
    return CloudFlavor(
        f"id-of-{name}",
        name,
        vcpus,
        ram,
        10,
        True,
        {key: value for key, value in specs.items() if value is not None},
    )


def server(name, node=0, cpus=(), memory=8192, status="ACTIVE", host="hgx1", of="other"):
    """A server with pinned CPUs on a NUMA node."""
    use = CellUse(node, memory, len(cpus), frozenset(cpus))
    return Server(f"id-of-{name}", name, status, "p1", host, of, len(cpus), memory, {}, (use,))


def host(resolved, name, states=None, servers=(), holders=None, **changes):
    """A host of a fleet.

    :param states: of devices that are not free, by address
    :param servers: what is on it
    :param holders: ids of servers by addresses of the devices that they have
    """
    offer = next(offer for offer in resolved.offers if offer.host == name)
    layout = numa.layout(offer, resolved.settings)
    holders = holders or {}
    states = dict.fromkeys(holders, DeviceState.IN_USE) | (states or {})
    pinned = sum(len(use.pinned) for server in servers for use in server.cells)
    memory = sum(cell.memory_mib for cell in layout.cells)
    taken = sum(server.ram_mib for server in servers)
    values = {
        "availability_zone": "nova",
        "resources": {
            "PCPU": Resource(layout.totals["PCPU"], used=pinned),
            "VCPU": Resource(layout.totals["VCPU"], allocation_ratio=4.0),
            "MEMORY_MB": Resource(memory, layout.reserved_mib, taken),
            "DISK_GB": Resource(10_000),
        },
        "numa": numa.left(layout, servers),
        "devices": tuple(
            _device(resolved, name, offered, states, holders) for offered in offer.devices
        ),
        "servers": tuple(servers),
        # So that guests may have the CPU's own address width.
        "traits": frozenset(("COMPUTE_ADDRESS_SPACE_PASSTHROUGH",)),
        **changes,
    }
    return Host(name, f"root-of-{name}", True, True, **values)


def _device(resolved, name, offered, states, holders):
    found = resolved.aliases[aliases.key_of(offered)]
    state = states.get(offered.address, DeviceState.FREE)
    is_gpu = offered.kind is Kind.GPU
    holder = holders.get(offered.address)
    return Device(
        name,
        offered.address,
        found.resource_class,
        offered.model if is_gpu else None,
        state,
        offered.device.numa_node,
        offered.gpu.link_group if is_gpu else (),
        offered.switch,
        offered.gpu.card if offered.gpu else None,
        f"provider-of-{name}-{offered.address}",
        resource=USAGE[state],
        consumers=(holder,) if holder else (),
    )


def bare(host):
    """The same host without an inventory: no NUMA nodes, switches or cards are known."""
    return dataclasses.replace(
        host,
        numa=(),
        cells=(),
        devices=tuple(
            dataclasses.replace(device, switch=None, card=None) for device in host.devices
        ),
    )


def view(*hosts, flavors=(), **changes):
    """A view of these hosts."""
    return CloudView(NOW, tuple(hosts), tuple(flavors), **changes)
