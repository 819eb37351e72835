# SPDX-License-Identifier: Apache-2.0
"""HGX hosts that are partly in use, and the mix of requested servers."""

import random
from collections.abc import Iterable
from typing import Any

from nova import objects

from nova_gpu_passthrough.packing.host_state import HostState
from nova_gpu_passthrough.packing.request_class import GpuLocality, RequestClass
from nova_gpu_passthrough.scheduler import host_snapshot
from tests.benchmarks import hosts, servers

_SEED = 2026
#: Number of different NUMA topologies, which hosts share.
_TOPOLOGIES = 200
_SIZES = (1, 2, 4, 8)


def fleet(count: int) -> list[Any]:
    """Return HGX hosts that are partly in use, most in different ways."""
    rng = random.Random(_SEED)
    topologies = [_used(rng) for _ in range(_TOPOLOGIES)]
    states = hosts.many(count)
    for state in states:
        state.numa_topology = rng.choice(topologies)
        pools = state.pci_stats.pools
        rng.shuffle(pools)
        del pools[rng.randint(2, hosts.GPUS) :]
        pools.sort(key=lambda pool: pool["address"])
        state.vcpus_used = rng.randrange(0, state.vcpus_total // 2, 4)
        state.free_ram_mb -= rng.randrange(0, state.total_usable_ram_mb // 2, 8192)
        state.free_disk_mb = 1024 * 1024
    return states


def _used(rng: random.Random) -> objects.NUMATopology:
    topology = hosts.numa_topology()
    for cell in topology.cells:
        cell.cpu_usage = rng.randrange(0, hosts.CPUS_PER_NODE // 3, 4)
        cell.memory_usage = rng.randrange(0, hosts.MIB_PER_NODE // 3, 8192)
        cell.mempages[0].used = cell.memory_usage * 256
    return topology


def mix() -> dict[RequestClass, float]:
    """Return a mix of classes with four numbers of GPUs in six shapes each."""
    return {
        RequestClass(
            f"g{gpus}-{shape}",
            gpus,
            hosts.HGX.model,
            vcpus=(4 + 4 * shape) * gpus,
            ram_mib=(1 + shape % 3) * 65536 * gpus,
            numa_cells=0 if shape % 2 else servers.guest_cells(gpus),
            gpu_locality=GpuLocality.ANY_NODE if shape % 2 else GpuLocality.LOCAL_OR_UNKNOWN,
            linked=shape == 5,
        ): 100.0 / (gpus * (1 + shape))
        for gpus in _SIZES
        for shape in range(6)
    }


def offer(states: Iterable[Any], spec: objects.RequestSpec) -> None:
    """Give each host one allocation candidate."""
    for number, state in enumerate(states):
        state.allocation_candidates = servers.candidates(number, spec, 1, _free(number, state))


def _free(number: int, state: Any) -> list[int]:
    """Return the numbers of the host's free GPUs."""
    free_providers = {pool["rp_uuid"] for pool in state.pci_stats.pools}
    return [gpu for gpu in range(hosts.GPUS) if hosts.provider(number, gpu) in free_providers]


def distinct(states: Iterable[Any]) -> int:
    """Count the hosts that differ in their free resources."""
    distinct_states: set[HostState] = set()
    for state in states:
        snapshot = host_snapshot.read(state)
        if snapshot is not None:
            distinct_states.add(snapshot.before())
    return len(distinct_states)
