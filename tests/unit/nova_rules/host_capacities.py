# SPDX-License-Identifier: Apache-2.0
"""Free capacities of hosts and demands of servers for tests."""

from nova_gpu_passthrough.nova_rules import guest_topology as guests
from nova_gpu_passthrough.nova_rules.host_capacity import (
    Amount,
    DeviceCapacity,
    DeviceClass,
    HostCapacity,
    PlacementQuery,
    ServerDemand,
)
from nova_gpu_passthrough.nova_rules.host_cell import HostCell, MemoryPages
from nova_gpu_passthrough.topology.model import FreeDevice, GpuRequest, NumaPolicy, PciRequest
from tests.unit import builders

GPU, NIC = DeviceClass("CUSTOM_H100"), DeviceClass("CUSTOM_NIC")


def cell(number, cores=8, pinned=0, memory=65536, used=0, shared=0, huge=None, threads=2):
    """Return a NUMA cell whose CPU ids start at 100 times its number, core by core."""
    siblings = tuple(
        frozenset(100 * number + threads * core + thread for thread in range(threads))
        for core in range(cores + shared)
    )
    common = frozenset().union(*siblings[:shared])
    dedicated = frozenset().union(*siblings[shared:])
    pages = (MemoryPages(4, memory * 256, used * 256),)
    if huge is not None:
        pages = (MemoryPages(4, 0), MemoryPages(1048576, memory // 1024, huge))
    return HostCell(
        number,
        memory,
        number,
        common,
        0,
        dedicated,
        frozenset(sorted(dedicated)[:pinned]),
        siblings,
        used,
        pages,
    )


def gpus(numbers=range(8), reserved=(), in_use=()):
    """Return the GPUs of an HGX board; see `builders.hgx`."""
    return tuple(
        DeviceCapacity(
            GPU.resource_class,
            gpu,
            frozenset(),
            int(number not in reserved and number not in in_use),
            int(number in reserved),
            int(number in in_use),
        )
        for number, gpu in zip(numbers, builders.hgx(numbers), strict=True)
    )


def nic(number, node=0, switch="switch0", **changes):
    return DeviceCapacity(
        NIC.resource_class, FreeDevice(builders.address(64 + number), node, switch), **changes
    )


def free_capacity(cells=None, devices=None, traits=(), **amounts):
    """Return a host with two NUMA nodes and eight GPUs; ``amounts`` replace capacities."""
    capacities = {"PCPU": 32, "VCPU": 64, "MEMORY_MB": 131072, "DISK_GB": 1000, **amounts}
    return HostCapacity(
        tuple((name, Amount(amount)) for name, amount in capacities.items()),
        (cell(0), cell(1)) if cells is None else tuple(cells),
        gpus() if devices is None else tuple(devices),
        frozenset(traits),
    )


def server_demand(
    count=1, vcpus=4, memory=8192, nics=0, policy=NumaPolicy.REQUIRED, query=None, **rest
):
    """Return the demand of a server with pinned CPUs.

    The rest are extra specs (``hw__x`` for ``hw:x``) and fields of a GpuRequest.
    """
    specs = {"hw:cpu_policy": "dedicated"} | {
        key.replace("__", ":"): rest.pop(key) for key in [*rest] if "__" in key
    }
    guest = guests.from_flavor(vcpus, memory, {key: value for key, value in specs.items() if value})
    gpu_requests = (PciRequest("0", "h100", count, policy),) if count else ()
    attached = (PciRequest("1", "nic", nics, policy),) if nics else ()
    device_classes = [("0", GPU)] if count else []
    device_classes += [("1", NIC)] if nics else []
    cpus = "PCPU" if guest.pins else "VCPU"
    return ServerDemand(
        GpuRequest(gpu_requests, attached, guest_cells=guest.cells, **rest),
        guest,
        tuple(device_classes),
        query or PlacementQuery(((cpus, vcpus), ("MEMORY_MB", memory))),
    )
