# SPDX-License-Identifier: Apache-2.0
"""Represent simulated hosts as objects of nova-scheduler."""

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

with warnings.catch_warnings():
    # Warnings of Eventlet, which some releases of Nova import.
    warnings.simplefilter("ignore")
    from nova.pci.stats import PciDeviceStats
    from nova.scheduler import host_manager

from nova_gpu_passthrough.packing.host_state import UNLINKED, GpuGroup, HostState
from nova_gpu_passthrough.simulator.ranker import SimulatedHost
from nova_gpu_passthrough.topology import tags

#: No request uses these: the simulator chooses the devices.
_IDS = {"vendor_id": "ffff", "product_id": "ffff", "dev_type": "type-PCI"}
_CELL = "simulated"


class NovaHost:
    """A simulated host and the ``HostState`` that nova-scheduler would have of it.

    CPUs are counted in the units of the simulation: Nova's CPU weigher divides by the largest
    number of any host, so its weights are the same. The numbers include overcommit, so all
    allocation ratios are 1. The NUMA topology is left out, since no weigher uses it, and I/O
    operations as well: a server is built before the next one is requested.
    """

    def __init__(self, host: SimulatedHost) -> None:
        self.state = host_manager.HostState(host.name, host.name, _CELL)
        self.state.cpu_allocation_ratio = 1.0
        self.state.ram_allocation_ratio = 1.0
        self.state.disk_allocation_ratio = 1.0
        self.state.total_usable_ram_mb = host.ram_mib
        self.state.total_usable_disk_gb = host.state.disk_gib
        self.state.vcpus_total = host.vcpus
        self.state.pci_stats = PciDeviceStats(None)
        self._before = host.state
        self._put(host.state)

    def change(self, state: HostState) -> None:
        """Update the host after a server was placed on it or released."""
        if state == self._before:
            return
        placed = _amounts(state) < _amounts(self._before)
        self.state.num_instances += 1 if placed else -1
        self._before = state
        self._put(state)

    def _put(self, state: HostState) -> None:
        self.state.vcpus_used = self.state.vcpus_total - state.vcpus
        self.state.free_ram_mb = state.ram_mib
        self.state.free_disk_mb = state.disk_gib * 1024
        self.state.pci_stats.pools = list(_pools(state))


def _amounts(state: HostState) -> tuple[int, int, int, int]:
    return state.vcpus, state.ram_mib, state.disk_gib, state.free_gpus


def _pools(state: HostState) -> Iterator[Mapping[str, Any]]:
    for node, cell in enumerate(state.cells):
        for group in cell.gpus:
            yield _pool(group, node)
    for group in state.gpus:
        yield _pool(group, None)


def _pool(group: GpuGroup, node: int | None) -> Mapping[str, Any]:
    pool = {**_IDS, "numa_node": node, "count": group.free, tags.MODEL: group.model}
    if group.link != UNLINKED:
        pool[tags.LINK_GROUP] = f"link{group.link}"
    return pool
