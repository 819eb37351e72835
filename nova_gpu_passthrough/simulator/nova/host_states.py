# SPDX-License-Identifier: Apache-2.0
"""Simulated hosts as nova-scheduler's own objects."""

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

with warnings.catch_warnings():
    # Of Eventlet, which some releases of Nova import.
    warnings.simplefilter("ignore")
    from nova.pci.stats import PciDeviceStats
    from nova.scheduler import host_manager

from nova_gpu_passthrough.packing.host_state import UNLINKED, GpuGroup, HostState
from nova_gpu_passthrough.simulator.ranker import SimHost
from nova_gpu_passthrough.topology import tags

#: Nobody asks for devices by these: what a server gets is decided elsewhere.
_IDS = {"vendor_id": "ffff", "product_id": "ffff", "dev_type": "type-PCI"}
_CELL = "simulated"


class NovaHost:
    """A simulated host and the ``HostState`` that nova-scheduler would have of it.

    CPUs are counted in parts of a vCPU where the simulation does so: Nova's weigher of CPUs divides
    by the most that any host has, so its weights are the same. There is no overcommit left in
    these numbers. The NUMA topology is left out, since no weigher looks at it; so are I/O
    operations: a server is built before the next one is asked for.
    """

    def __init__(self, host: SimHost) -> None:
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
        """Take over what is left once a server came or went."""
        if state == self._before:
            return
        came = _amounts(state) < _amounts(self._before)
        self.state.num_instances += 1 if came else -1
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
