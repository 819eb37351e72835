# SPDX-License-Identifier: Apache-2.0
"""Host states of nova-scheduler, with eight GPUs each."""

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from nova import objects
from nova.objects import pci_device_pool
from nova.pci import stats, whitelist
from nova.scheduler.host_manager import HostState

GPUS = 8
NODES = 2
CPUS_PER_NODE = 112
MIB_PER_NODE = 1024 * 1024


@dataclass(frozen=True)
class Board:
    """How the eight GPUs of a host are connected."""

    name: str
    product_id: str
    model: str
    link_group: Callable[[int], str | None]
    switch: Callable[[int], str]


#: NVSwitch: all GPUs are linked; the valid partitions are 8, 4+4, 2+2+2+2 and single GPUs.
HGX = Board(
    "HGX",
    "2330",
    "H100-SXM-80GB",
    lambda gpu: f"nvs0/q{gpu // 4}/p{gpu // 2}",
    lambda gpu: f"sw{gpu // 2}",
)
#: PCIe cards in pairs, each pair joined by a bridge.
BRIDGED = Board(
    "PCIe, bridged pairs",
    "2321",
    "H100-NVL-94GB",
    lambda gpu: f"bridge{gpu // 2}",
    lambda gpu: f"sw{gpu // 4}",
)
#: PCIe cards without links.
UNLINKED = Board("PCIe", "26b9", "L40S", lambda gpu: None, lambda gpu: f"sw{gpu // 4}")


def provider(host: int, gpu: int) -> str:
    """Return the resource provider of a GPU, or of the host for -1."""
    return str(uuid.UUID(int=(host << 64) + gpu + 2))


def pools(number: int, board: Board) -> list[dict[str, Any]]:
    """Return one pool per GPU, as ``PciDeviceStats`` makes them on the compute node."""
    gpu_pools = []
    for gpu in range(GPUS):
        pool = {
            "vendor_id": "10de",
            "product_id": board.product_id,
            "numa_node": gpu * NODES // GPUS,
            "count": 1,
            "dev_type": "type-PCI",
            "address": f"0000:{0x1A + 8 * gpu:02x}:00.0",
            "rp_uuid": provider(number, gpu),
            "gpu_model": board.model,
            "gpu_switch": board.switch(gpu),
            "gpu_card": f"card{gpu}",
        }
        link_group = board.link_group(gpu)
        if link_group is not None:
            pool["gpu_link_group"] = link_group
        gpu_pools.append(pool)
    return gpu_pools


def numa_topology(pinned: bool = False) -> objects.NUMATopology:
    """Return two sockets with one NUMA node each and 4 KiB pages.

    :param pinned: whether the CPUs are dedicated instead of shared
    """
    half = CPUS_PER_NODE // 2
    cpus = [set(range(n * CPUS_PER_NODE, (n + 1) * CPUS_PER_NODE)) for n in range(NODES)]
    return objects.NUMATopology(
        cells=[
            objects.NUMACell(
                id=node,
                socket=node,
                cpuset=set() if pinned else cpus[node],
                pcpuset=cpus[node] if pinned else set(),
                memory=MIB_PER_NODE,
                cpu_usage=0,
                memory_usage=0,
                pinned_cpus=set(),
                siblings=[
                    {node * CPUS_PER_NODE + core, node * CPUS_PER_NODE + core + half}
                    for core in range(half)
                ],
                mempages=[
                    objects.NUMAPagesTopology(size_kb=4, total=MIB_PER_NODE * 256, used=0),
                ],
            )
            for node in range(NODES)
        ]
    )


def host(
    number: int,
    board: Board = HGX,
    topology: objects.NUMATopology | None = None,
    dev_filter: whitelist.Whitelist | None = None,
) -> HostState:
    """Return a host without servers.

    :param topology: may be shared by several hosts to save memory, since nothing writes to it
    """
    state = HostState(f"gpu{number:05d}", f"gpu{number:05d}", "cell1")
    state.uuid = provider(number, -1)
    state.numa_topology = topology or numa_topology()
    # Through the database objects, as the scheduler gets the pools of a compute node.
    devices = pci_device_pool.from_pci_stats(pools(number, board))
    state.pci_stats = stats.PciDeviceStats(state.numa_topology, devices, dev_filter)
    state.total_usable_ram_mb = state.free_ram_mb = NODES * MIB_PER_NODE
    state.vcpus_total = NODES * CPUS_PER_NODE
    state.cpu_allocation_ratio = 1.0
    state.ram_allocation_ratio = 1.0
    state.disk_allocation_ratio = 1.0
    return state


def many(count: int) -> list[HostState]:
    """Return HGX hosts that share the objects that the scheduler only reads."""
    build = partial(host, topology=numa_topology(), dev_filter=whitelist.Whitelist())
    return [build(number) for number in range(count)]


def put_into_aggregate(states: Iterable[HostState], metadata: dict[str, str]) -> None:
    """Add hosts to one aggregate with this metadata and one without."""
    aggregates = [
        objects.Aggregate(id=1, name="gpu", hosts=[], metadata=metadata),
        objects.Aggregate(id=2, name="zone", hosts=[], metadata={"availability_zone": "az1"}),
    ]
    for state in states:
        state.aggregates = aggregates
