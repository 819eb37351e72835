# SPDX-License-Identifier: Apache-2.0
"""Hosts with room for servers, and what servers need."""

from nova_gpu_passthrough.nova_rules import guest_topology as guests
from nova_gpu_passthrough.nova_rules.host_capacity import (
    Amount,
    Kind,
    Needs,
    Query,
    Room,
    RoomDevice,
)
from nova_gpu_passthrough.nova_rules.host_cell import HostCell, Pages
from nova_gpu_passthrough.topology.model import Demand, Device, GpuRequest, NumaPolicy
from tests.unit import builders

GPU, NIC = Kind("CUSTOM_H100"), Kind("CUSTOM_NIC")


def cell(number, cores=8, pinned=0, memory=65536, used=0, shared=0, huge=None, threads=2):
    """A NUMA cell whose CPUs are numbered from 100 times its own number on, core by core."""
    siblings = tuple(
        frozenset(100 * number + threads * core + thread for thread in range(threads))
        for core in range(cores + shared)
    )
    common = frozenset().union(*siblings[:shared])
    dedicated = frozenset().union(*siblings[shared:])
    pages = (Pages(4, memory * 256, used * 256),)
    if huge is not None:
        pages = (Pages(4, 0), Pages(1048576, memory // 1024, huge))
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
    """GPUs of an HGX board; see `builders.hgx`."""
    return tuple(
        RoomDevice(
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
    return RoomDevice(
        NIC.resource_class, Device(builders.address(64 + number), node, switch), **changes
    )


def room(cells=None, devices=None, traits=(), **amounts):
    """A host with two NUMA nodes and eight GPUs; amounts are of capacities."""
    capacities = {"PCPU": 32, "VCPU": 64, "MEMORY_MB": 131072, "DISK_GB": 1000, **amounts}
    return Room(
        tuple((name, Amount(amount)) for name, amount in capacities.items()),
        (cell(0), cell(1)) if cells is None else tuple(cells),
        gpus() if devices is None else tuple(devices),
        frozenset(traits),
    )


def needs(count=1, vcpus=4, memory=8192, nics=0, policy=NumaPolicy.REQUIRED, query=None, **rest):
    """What a server with pinned CPUs needs; the rest are extra specs (``hw__x`` for ``hw:x``)
    and wishes of a GpuRequest.
    """
    specs = {"hw:cpu_policy": "dedicated"} | {
        key.replace("__", ":"): rest.pop(key) for key in [*rest] if "__" in key
    }
    guest = guests.read(vcpus, memory, {key: value for key, value in specs.items() if value})
    demands = (Demand("0", "h100", count, policy),) if count else ()
    attached = (Demand("1", "nic", nics, policy),) if nics else ()
    kinds = [("0", GPU)] if count else []
    kinds += [("1", NIC)] if nics else []
    cpus = "PCPU" if guest.pins else "VCPU"
    return Needs(
        GpuRequest(demands, attached, guest_cells=guest.cells, **rest),
        guest,
        tuple(kinds),
        query or Query(((cpus, vcpus), ("MEMORY_MB", memory))),
    )
