# SPDX-License-Identifier: Apache-2.0
"""Hosts that exist twice: in the simulator, and as objects of nova-scheduler that Nova updates."""

import random

from nova_gpu_passthrough.packing.host_state import HostState
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.scheduler import host_snapshot
from nova_gpu_passthrough.simulator.ranker import SimulatedHost
from nova_gpu_passthrough.simulator.simulated_hosts import SimulatedHosts
from tests.unit.builders import L40S, cell, host_state, pages, pci_request, pool, request_spec

MODEL = "L40S"
ALIAS = "l40s"


def real_host(name, gpus=8, cpus=32, ram=131072, link=lambda gpu: "", disk=None):
    """Return a host with two NUMA nodes; CPUs and RAM (MiB) are those of each node."""
    pools = []
    for number in range(gpus):
        tags = {"gpu_model": MODEL, "gpu_link_group": link(number)}
        pools.append(
            pool(
                number, L40S, 2 * number // gpus, host=name, **{k: v for k, v in tags.items() if v}
            )
        )
    cells = [
        cell(number, cpus=cpus, memory=ram, socket=number, mempages=[pages(4, ram * 256)])
        for number in range(2)
    ]
    state = host_state(name, pools, cells, vcpus=2 * cpus, ram=2 * ram)
    state.pci_stats.numa_topology = state.numa_topology
    state.free_disk_mb = 1024 * (1000 if disk is None else disk)
    state.total_usable_disk_gb = state.free_disk_mb // 1024
    state.limits = {}
    return state


def simulated(state):
    """Return the same host for the simulator."""
    left = left_of(state)
    return SimulatedHost(state.host, left, MODEL, left.vcpus, left.ram_mib, left.free_gpus)


def left_of(state):
    """Return what one of Nova's host states has left, as a state of the simulator."""
    whole = host_snapshot.read(state)
    if whole is not None:
        return whole.before()
    return HostState(
        (),
        state.vcpus_total - state.vcpus_used,
        state.free_ram_mb,
        state.free_disk_mb // 1024,
    )


def spec_of(request_class, numa=None, in_placement=False):
    """Return the request for a server with default preferences for its GPUs."""
    pci_requests = [
        pci_request(request_class.gpus, L40S, ALIAS, numa_policy="required" if numa else None)
    ]
    spec = request_spec(
        *(pci_requests if request_class.gpus else ()),
        vcpus=request_class.vcpus,
        ram=request_class.ram_mib,
        numa=numa,
        in_placement=in_placement,
    )
    spec.flavor.root_gb = request_class.disk_gib
    spec.flavor.name = request_class.name
    return spec


def built(state):
    """Update a host as the compute node reports it once the server runs."""
    state.num_io_ops = 0


CLASSES = [
    RequestClass("cpu", 0, None, 3, 0, 5120, 1),
    RequestClass("memory", 0, None, 1, 0, 30720, 1),
    RequestClass("one", 1, MODEL, 6, 0, 20480, 1),
    RequestClass("two", 2, MODEL, 12, 0, 20480, 1),
    RequestClass("four", 4, MODEL, 16, 0, 65536, 10),
]


def requests(count, seed, classes=CLASSES):
    """Return classes in random order, small ones more often."""
    return random.Random(seed).choices(classes, range(len(classes), 0, -1), k=count)


def fitting(states, request_class):
    """Return the simulator's fitting hosts among hosts with these states."""
    hosts = [SimulatedHost(str(n), state, MODEL, 1, 1, 1) for n, state in enumerate(states)]
    return SimulatedHosts(hosts).fitting(request_class)
