# SPDX-License-Identifier: Apache-2.0
"""HGX hosts of which servers have taken parts, and what servers are asked for."""

import random
from collections.abc import Iterable
from typing import Any

from nova import objects

from nova_gpu_passthrough.packing.host_state import HostState
from nova_gpu_passthrough.packing.request_class import Reach, RequestClass
from nova_gpu_passthrough.scheduler import host_snapshot
from tests.benchmarks import hosts, servers

_SEED = 2026
#: Different sets of what is in use on NUMA cells; the topologies themselves are shared.
_TOPOLOGIES = 200
_SIZES = (1, 2, 4, 8)


def fleet(count: int) -> list[Any]:
    """HGX hosts of which servers have taken parts: no two need be alike."""
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
    """Four sizes in six shapes each."""
    return {
        RequestClass(
            f"g{gpus}-{shape}",
            gpus,
            hosts.HGX.model,
            vcpus=(4 + 4 * shape) * gpus,
            ram_mib=(1 + shape % 3) * 65536 * gpus,
            numa_cells=0 if shape % 2 else servers.guest_cells(gpus),
            reach=Reach.ANYWHERE if shape % 2 else Reach.NOT_FAR,
            linked=shape == 5,
        ): 100.0 / (gpus * (1 + shape))
        for gpus in _SIZES
        for shape in range(6)
    }


def offer(states: Iterable[Any], spec: objects.RequestSpec) -> None:
    """Give each host one candidate, as Placement does."""
    for number, state in enumerate(states):
        state.allocation_candidates = servers.candidates(number, spec, 1, _free(number, state))


def _free(number: int, state: Any) -> list[int]:
    """The numbers of the host's free GPUs."""
    left = {pool["rp_uuid"] for pool in state.pci_stats.pools}
    return [gpu for gpu in range(hosts.GPUS) if hosts.provider(number, gpu) in left]


def distinct(states: Iterable[Any]) -> int:
    """How many of the hosts differ in what they have left."""
    found: set[HostState] = set()
    for state in states:
        whole = host_snapshot.read(state)
        if whole is not None:
            found.add(whole.before())
    return len(found)
