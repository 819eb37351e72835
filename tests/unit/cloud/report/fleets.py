# SPDX-License-Identifier: Apache-2.0
"""Snapshots of small and large clouds with GPUs in every state."""

import dataclasses
import random

from nova_gpu_passthrough.cloud.fit.capacity import CloudCapacity, FlavorCapacity
from nova_gpu_passthrough.cloud.fit.stranded_gpus import StrandedGpu
from nova_gpu_passthrough.cloud.report.snapshot import Snapshot
from nova_gpu_passthrough.cloud.view.model import (
    CloudDevice,
    CloudFlavor,
    CloudHost,
    CloudView,
    DeviceState,
    Resource,
    Server,
)
from nova_gpu_passthrough.cloud.view.owners import Owners
from nova_gpu_passthrough.nova_rules.host_cell import HostCell, MemoryPages
from nova_gpu_passthrough.nova_rules.refusal import Constraint, Refusal, Stage

TAKEN_AT = "2026-03-01T12:30:00Z"
FREE, IN_USE = DeviceState.FREE, DeviceState.IN_USE
RESERVED, STUCK, MISSING = DeviceState.RESERVED, DeviceState.STUCK, DeviceState.MISSING
_CORES = 32
_MIB = 512 * 1024
_RESERVED_MIB = 8 * 1024


def server(number, gpus=1, host="gpu01", name=None, project="p1", **changes):
    facts = {
        "extra_specs": {"pci_passthrough:alias": f"gpu:{gpus}"} if gpus else {},
        "user_id": "u1",
        "created": "2026-01-18T12:30:00Z",
        "updated": "2026-02-26T12:30:00Z",
        **changes,
    }
    key = f"00000000-0000-4000-8000-{number:012}"
    return Server(
        key,
        name or f"train-{number}",
        facts.pop("status", "ACTIVE"),
        project,
        host,
        f"gpu.h100.{gpus}",
        15 * gpus,
        120 * 1024 * gpus,
        **facts,
    )


def gpu(host, number, model, state, node, consumer=None, links=True, **changes):
    """A GPU; on HGX boards two are behind one switch, and four on one NUMA node."""
    facts = {
        "link_group": ("nvs0", f"q{number // 4}", f"p{number // 2}") if links else (),
        "switch": f"0000:{0x10 + number // 2:02x}:00.0" if links else None,
        "consumers": (consumer.id,) if consumer else (),
        "resource": Resource(
            1, reserved=int(state is RESERVED), used=int(state in (IN_USE, STUCK))
        ),
        **changes,
    }
    kind = f"CUSTOM_PCI_{model.upper().replace('-', '_')}"
    address = f"0000:{0x20 + number:02x}:00.0"
    return CloudDevice(host, address, kind, model, state, node, **facts)


def cell(number, pinned=0, used_mib=0, cores=_CORES, memory_mib=_MIB):
    """A NUMA node with two threads per core; one core is for the host, one is shared."""
    first = 2 * cores * number
    cpus = range(first + 4, first + 2 * cores)
    page = MemoryPages(
        4, memory_mib * 256, used_mib * 256, min(_RESERVED_MIB, memory_mib // 2) * 256
    )
    return HostCell(
        number,
        memory_mib,
        number,
        frozenset(range(first + 2, first + 4)),
        0,
        frozenset(cpus),
        frozenset(cpus[:pinned]),
        tuple(frozenset((cpu, cpu + 1)) for cpu in range(first + 2, first + 2 * cores, 2)),
        used_mib,
        (page,),
    )


def host(name, devices=(), servers=(), nodes=2, group=None, **changes):
    """A host whose servers' CPUs and memory are on the NUMA nodes of their GPUs."""
    pinned, memory = dict.fromkeys(range(nodes), 0), dict.fromkeys(range(nodes), 0)
    for each in servers:
        mine = [device.numa_node or 0 for device in devices if each.id in device.consumers]
        for node in mine or [0]:
            pinned[node] += each.vcpus // max(1, len(mine))
            memory[node] += each.ram_mib // max(1, len(mine))
    numa = tuple(cell(number, pinned[number], memory[number]) for number in range(nodes))
    total = nodes * (2 * _CORES - 4)
    facts = {
        "provider": f"provider-{name}",
        "up": True,
        "enabled": True,
        "availability_zone": "nova",
        "resources": {
            "PCPU": Resource(total, used=sum(pinned.values())),
            "VCPU": Resource(2 * nodes, used=0, allocation_ratio=4.0),
            "MEMORY_MB": Resource(
                nodes * _MIB, reserved=nodes * _RESERVED_MIB, used=sum(memory.values())
            ),
            "DISK_GB": Resource(2000, used=40 * len(servers)),
        },
        "numa": numa,
        "group": group,
        **changes,
    }
    return CloudHost(name, devices=tuple(devices), servers=tuple(servers), **facts)


def hgx(name, states=(FREE,) * 8, sizes=(), first=1, project="p1", group="h100", **changes):
    """A host with eight GPUs on two NUMA nodes.

    :param sizes: numbers of GPUs of the servers to which the GPUs in use are allocated
    """
    in_use = [number for number, state in enumerate(states) if state is IN_USE]
    servers, server_of = [], {}
    for size in sizes:
        each = server(first + len(servers), size, name, project=project)
        servers.append(each)
        for _ in range(size):
            server_of[in_use.pop(0)] = each
    notes = {
        STUCK: "allocated to 5f0c, a server that no longer exists: free it with "
        "nova-manage placement audit --delete",
        RESERVED: "reserved by hand: to free it, openstack resource provider inventory set",
        MISSING: "gone from the host's PCI bus, or not in [pci] device_spec of its nova.conf",
    }
    devices = [
        gpu(
            name,
            number,
            "H100-SXM",
            state,
            number // 4,
            server_of.get(number),
            note=notes.get(state, ""),
        )
        for number, state in enumerate(states)
    ]
    return host(name, devices, servers, group=group, **changes)


def l40s(name, states=(FREE,) * 4, consumer=None, group="l40s", **changes):
    devices = [
        gpu(name, n, "L40S", state, n // 2, consumer if state is IN_USE else None, links=False)
        for n, state in enumerate(states)
    ]
    return host(name, devices, [consumer] if consumer else [], group=group, **changes)


def view(*hosts, **changes):
    return CloudView(TAKEN_AT, tuple(hosts), **changes)


def cloud_flavors(flavors):
    """The flavors in Nova whose servers were counted; those of one GPU are public."""
    return tuple(
        CloudFlavor(
            f"id-{each.flavor}",
            each.flavor,
            15 * each.gpus,
            120 * 1024 * each.gpus,
            40,
            each.gpus == 1,
            {"pci_passthrough:alias": f"gpu:{each.gpus}"},
        )
        for each in flavors
    )


def snapshot(cloud_view, flavors, lost=(), *facts):
    """A snapshot whose view has the flavors that were counted."""
    cloud_view = dataclasses.replace(cloud_view, flavors=cloud_flavors(flavors))
    return Snapshot(cloud_view, capacity(cloud_view, flavors, lost), *facts)


def stranded(device, cause=Constraint.VCPUS, detail="4 of 15 PCPU are free"):
    return StrandedGpu(device.host, device.address, device.model, cause, detail, "gpu.h100.1")


def capacity(cloud_view, flavors=(), lost=(), **changes):
    return CloudCapacity(cloud_view.taken_at, tuple(flavors), tuple(lost), **changes)


def _refused(cause, detail):
    return Refusal(cause, detail, Stage.PLACEMENT)


def one():
    """A cloud with one empty host."""
    cloud_view = view(hgx("gpu01", group=None))
    flavor = FlavorCapacity("gpu.h100.1", 1, "H100-SXM", 8, {"gpu01": 8})
    return snapshot(cloud_view, [flavor])


def four():
    """A cloud with two HGX hosts, one with PCIe GPUs and one without; GPUs in every state."""
    first = hgx(
        "gpu01",
        (IN_USE, IN_USE, IN_USE, FREE, IN_USE, IN_USE, IN_USE, IN_USE),
        (2, 1, 4),
    )
    second = hgx(
        "gpu02",
        (IN_USE, FREE, FREE, RESERVED, FREE, STUCK, MISSING, FREE),
        (1,),
        first=11,
        project="p2",
    )
    third = l40s(
        "gpu03",
        (IN_USE, FREE, FREE, FREE),
        server(21, 1, "gpu03", "render <b>& co</b>", "p2"),
        enabled=False,
        disabled_reason="new fans on Friday",
    )
    fourth = host("cpu01", servers=[server(31, 0, "cpu01", "web")], group="cpu")
    cloud_view = view(
        first,
        second,
        third,
        fourth,
        servers_without_host=(dataclasses.replace(server(41, 8, None, "too-big"), status="ERROR"),),
        notes=("gpu03: servers with hw:emulator_threads_policy=isolate use one more CPU",),
    )
    names = [each.name for each in cloud_view.hosts]
    flavors = [
        FlavorCapacity(
            "gpu.h100.1",
            1,
            "H100-SXM",
            4,
            dict(zip(names, (0, 4, 0, 0), strict=True)),
            {
                "gpu01": _refused(Constraint.VCPUS, "0 of 15 PCPU are free"),
                "gpu02": _refused(Constraint.GPUS, "none of 1 GPU is free"),
                "gpu03": _refused(Constraint.HOST, "nova-compute is disabled"),
                "cpu01": _refused(Constraint.GPUS, "it has no such GPU"),
            },
            hosts_with_gpus=frozenset(("gpu01", "gpu02")),
        ),
        FlavorCapacity(
            "gpu.h100.2",
            2,
            "H100-SXM",
            1,
            dict(zip(names, (0, 1, 0, 0), strict=True)),
            {"gpu02": _refused(Constraint.NUMA, "2 GPUs are free on no NUMA node with 30 CPUs")},
        ),
        FlavorCapacity("gpu.h100.8", 8, "H100-SXM", 0, dict.fromkeys(names, 0)),
        FlavorCapacity(
            "gpu.l40s.1",
            1,
            "L40S",
            0,
            dict.fromkeys(names, 0),
            {"gpu03": _refused(Constraint.HOST, "nova-compute is disabled")},
            exact=False,
            notes=("gpu.l40s.1: hw:pmem is not modelled",),
        ),
    ]
    lost = [stranded(first.gpus[3])]
    return snapshot(
        cloud_view,
        flavors,
        lost,
        Owners({"p1": "research", "p2": "training"}, {"u1": "alice"}),
        "paris-1",
        "prod RegionOne",
    )


def many(count=64, seed=1, racks=False):
    """A cloud with many hosts that are mostly full.

    :param racks: whether HGX hosts are in racks and rooms
    """
    rng = random.Random(seed)
    hosts, lost = [], []
    for number in range(count):
        name = f"gpu-r{number // 16 + 1:02}-n{number % 16 + 1:02}"
        if number % 5 == 4:
            states = [rng.choice((FREE, IN_USE)) for _ in range(4)]
            consumer = (
                server(1000 + number, states.count(IN_USE), name) if IN_USE in states else None
            )
            hosts.append(l40s(name, states, consumer))
            continue
        sizes = rng.choice([(8,), (4, 4), (4, 2, 1), (2, 2), (1, 1, 1), ()])
        states = [IN_USE] * sum(sizes) + [FREE] * (8 - sum(sizes))
        if FREE in states:
            states[-1] = rng.choice((FREE, FREE, RESERVED, STUCK, MISSING))
        made = hgx(name, tuple(states), sizes, 2000 + 10 * number, rng.choice(("p1", "p2")))
        if racks:
            places = {"rack": f"r{number // 8 + 1:02}", "room": "ab"[number >= count // 2]}
            made = dataclasses.replace(made, domains=places)
        if rng.random() < 0.05:
            made = dataclasses.replace(made, up=False)
        hosts.append(made)
        free = [device for device in made.gpus if device.state is FREE]
        if len(free) == 1:
            lost.append(
                stranded(free[0], rng.choice((Constraint.VCPUS, Constraint.RAM, Constraint.NUMA)))
            )
    cloud_view = view(*hosts)
    flavors = [
        FlavorCapacity(
            f"gpu.h100.{size}",
            size,
            "H100-SXM",
            sum(
                sum(d.state is FREE for d in each.gpus) // size
                for each in hosts
                if each.group == "h100"
            ),
            {
                each.name: sum(d.state is FREE for d in each.gpus) // size
                if each.group == "h100"
                else 0
                for each in hosts
            },
            {each.name: _refused(Constraint.GPUS, "none is free") for each in hosts},
        )
        for size in (1, 2, 4, 8)
    ]
    return snapshot(
        cloud_view, flavors, lost, Owners({"p1": "research", "p2": "training"}, {"u1": "alice"})
    )
