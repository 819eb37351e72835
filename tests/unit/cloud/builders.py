# SPDX-License-Identifier: Apache-2.0
"""Views of clouds, and aliases, for tests of capacity and explanations.

Hosts are as nova-compute reports them with the generated options; see ``clouds.fleet``.
"""

import dataclasses

from nova_gpu_passthrough.cloud.view import numa_capacity
from nova_gpu_passthrough.cloud.view.model import (
    CellUse,
    CloudDevice,
    CloudFlavor,
    CloudHost,
    CloudView,
    DeviceState,
    Resource,
    Server,
)
from nova_gpu_passthrough.fleet import aliases, host_cells
from nova_gpu_passthrough.fleet.aliases import Alias
from nova_gpu_passthrough.fleet.offers import DeviceKind
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
    """Return an alias of the fleet; its default resource class is CUSTOM_<NAME>."""
    return Alias(
        name,
        resource_class or f"CUSTOM_{name.upper().replace('-', '_')}",
        DeviceType.PCI,
        DeviceKind(kind),
        model or name.upper(),
        numa_policy,
    )


def flavor(name, gpus=1, vcpus=2, ram=8192, alias="h100-sxm", **extra_specs):
    """Return a flavor with pinned CPUs; ``__`` in names of extra specs is replaced with a colon."""
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
    """Return a server with pinned CPUs on a NUMA node."""
    use = CellUse(node, memory, len(cpus), frozenset(cpus))
    return Server(f"id-of-{name}", name, status, "p1", host, of, len(cpus), memory, {}, (use,))


def host(resolved, name, states=None, servers=(), device_owners=None, **changes):
    """Return a host of a fleet.

    :param states: states of devices that are not free, by address
    :param servers: the servers on it
    :param device_owners: ids of servers by addresses of the devices that they have
    """
    offer = next(offer for offer in resolved.offers if offer.host == name)
    empty = host_cells.make(offer, resolved.settings)
    device_owners = device_owners or {}
    states = dict.fromkeys(device_owners, DeviceState.IN_USE) | (states or {})
    pinned = sum(len(use.pinned) for server in servers for use in server.cells)
    taken = sum(server.ram_mib for server in servers)
    values = {
        "availability_zone": "nova",
        "resources": {
            "PCPU": Resource(empty.pcpus, used=pinned),
            "VCPU": Resource(empty.vcpus, allocation_ratio=4.0),
            "MEMORY_MB": Resource(empty.memory_mib, empty.reserved_mib, taken),
            "DISK_GB": Resource(10_000),
        },
        "numa": numa_capacity.free_cells(empty, servers),
        "devices": tuple(
            _device(resolved, name, offered, states, device_owners) for offered in offer.devices
        ),
        "servers": tuple(servers),
        # So that guests may have the CPU's own address width.
        "traits": frozenset(("COMPUTE_ADDRESS_SPACE_PASSTHROUGH",)),
        **changes,
    }
    return CloudHost(name, f"root-of-{name}", True, True, **values)


def _device(resolved, name, offered, states, device_owners):
    alias_of_device = resolved.aliases[aliases.alias_key(offered)]
    state = states.get(offered.address, DeviceState.FREE)
    is_gpu = offered.kind is DeviceKind.GPU
    owner = device_owners.get(offered.address)
    return CloudDevice(
        name,
        offered.address,
        alias_of_device.resource_class,
        offered.model if is_gpu else None,
        state,
        offered.device.numa_node,
        offered.gpu.link_group if is_gpu else (),
        offered.switch,
        offered.gpu.card if offered.gpu else None,
        f"provider-of-{name}-{offered.address}",
        resource=USAGE[state],
        consumers=(owner,) if owner else (),
    )


def bare(host):
    """Return the same host without an inventory: without NUMA nodes, switches and cards."""
    return dataclasses.replace(
        host,
        numa=(),
        devices=tuple(
            dataclasses.replace(device, switch=None, card=None) for device in host.devices
        ),
    )


def view(*hosts, flavors=(), **changes):
    """Return a view of these hosts."""
    return CloudView(NOW, tuple(hosts), tuple(flavors), **changes)
