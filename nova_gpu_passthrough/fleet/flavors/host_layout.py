# SPDX-License-Identifier: Apache-2.0
"""The layout of a host for flavors: its NUMA nodes, and the GPUs that share their resources.

Also the limit on a guest's memory that leaves room for its GPUs' BARs in its address space.
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from nova_gpu_passthrough.fleet import host_cells, memory
from nova_gpu_passthrough.fleet.aliases import Alias, AliasMap, alias_key
from nova_gpu_passthrough.fleet.host_cells import ReportedResources
from nova_gpu_passthrough.fleet.offers import DeviceKind, HostOffer, OfferedDevice
from nova_gpu_passthrough.fleet.settings import Settings
from nova_gpu_passthrough.nova_rules import guest_topology
from nova_gpu_passthrough.nova_rules.host_cell import HostCell
from nova_gpu_passthrough.topology.address_space import GuestPlatform, max_ram_gib

MAXPHYSADDR_MODE = "hw:maxphysaddr_mode"
MAXPHYSADDR_BITS = "hw:maxphysaddr_bits"
#: The value of `MAXPHYSADDR_MODE` with which the guest's CPU has the host's address bits.
PASSTHROUGH = "passthrough"


@dataclass(frozen=True)
class NodeLayout:
    """A NUMA node with CPUs for servers."""

    cell: HostCell
    #: The number of GPUs that share its CPUs and memory, by alias: the node's own GPUs, and those
    #: of nodes without CPUs.
    gpus: Mapping[str, int]
    #: Memory for the host that nova.conf does not reserve on this node (see ``memory``).
    kept_mib: int = 0

    @property
    def gpu_count(self) -> int:
        """Return the number of GPUs of all aliases."""
        return sum(self.gpus.values())

    def vcpus(self, pinned: bool) -> int:
        """Return the number of CPUs that are only for pinned vCPUs, or of those for shared vCPUs.

        Without CPU sets, Nova pins vCPUs to any CPU, also to those that the host needs. Flavors are
        not planned for this.
        """
        cell = self.cell
        return len(cell.dedicated - cell.shared if pinned else cell.shared)

    def ram_mib(self, page_size: int | None) -> int:
        """Return the most memory of one server.

        :param page_size: KiB, or a constant of ``nova_rules.guest_topology``
        """
        free = {pages.size_kib: pages.free_kib // 1024 for pages in self.cell.pages}
        sizes = sorted(free)
        if sizes:
            free[sizes[0]] -= self.kept_mib
        if page_size in (None, guest_topology.SMALL):
            sizes = sizes[:1]
        elif page_size == guest_topology.LARGE:
            sizes = sizes[1:]
        elif page_size != guest_topology.ANY:
            sizes = [size for size in sizes if size == page_size]
        return max((max(0, free[size]) for size in sizes), default=0)


@dataclass(frozen=True)
class HostLayout:
    """The NUMA nodes and the offered devices of a host."""

    offer: HostOffer
    nodes: tuple[NodeLayout, ...]
    #: What nova-compute reports with the rounded memory, including NUMA cells without CPUs.
    resources: ReportedResources
    #: Offered devices by the name of their alias.
    devices: Mapping[str, tuple[OfferedDevice, ...]]

    @property
    def host(self) -> str:
        """Return the name of the host."""
        return self.offer.host

    @property
    def gpu_count(self) -> int:
        """Return the number of GPUs of all aliases."""
        return len(self.offer.gpus)

    def gpus(self, alias: Alias) -> tuple[OfferedDevice, ...]:
        """Return the GPUs of an alias."""
        return self.devices.get(alias.name, ())

    def fewest_nodes(self, alias: Alias, count: int) -> int | None:
        """Return the fewest nodes that have so many GPUs; None if the host does not have them."""
        sizes = sorted((node.gpus.get(alias.name, 0) for node in self.nodes), reverse=True)
        sums = itertools.accumulate(sizes)
        return next((number for number, size in enumerate(sums, 1) if size >= count), None)

    def node_sets(self, alias: Alias, count: int, size: int) -> Iterator[Sequence[NodeLayout]]:
        """Yield all sets of nodes that together have so many GPUs.

        :param size: the number of nodes in a set
        """
        for nodes in itertools.combinations(self.nodes, size):
            if sum(node.gpus.get(alias.name, 0) for node in nodes) >= count:
                yield nodes

    def max_guest_ram_mib(self, alias: Alias, count: int, extra_specs: Mapping[str, str]) -> int:
        """Return the most memory (MiB) of a guest whose address space holds the BARs of its GPUs.

        At most the host's memory; 0 if the BARs do not fit whatever the guest's memory.

        :param count: the number of GPUs of the guest
        """
        bars = [gpu.device.high_bars for gpu in self.gpus(alias)]
        platform = guest_platform(self.offer, extra_specs)
        return (max_ram_gib(bars, platform, self.offer.inventory.memory_gib, count) or 0) * 1024


def make(offer: HostOffer, aliases: AliasMap, settings: Settings) -> HostLayout:
    """Make the layout of a host with the nova.conf that is generated for it."""
    resources = host_cells.make(memory.with_rounded_nodes(offer), settings)
    with_cpus = [cell for cell in resources.cells if cell.shared or cell.dedicated]
    nearest = {cell.id: cell.id for cell in with_cpus} | _nearest_nodes(offer, with_cpus)
    counts = {cell.id: Counter[str]() for cell in with_cpus}
    without_node = []
    devices: dict[str, list[OfferedDevice]] = {}
    for offered in offer.devices:
        alias = aliases[alias_key(offered)]
        devices.setdefault(alias.name, []).append(offered)
        if offered.kind is not DeviceKind.GPU:
            continue
        numa_node = offered.device.numa_node
        node = nearest.get(numa_node) if numa_node is not None else None
        if node is None:
            without_node.append(alias.name)
        else:
            counts[node][alias.name] += 1
    for name in without_node:
        # Guests on any node may use these GPUs, so each is counted on the node with the fewest.
        if counts:
            min(counts.values(), key=lambda counter: counter.total())[name] += 1
    kept = _kept_mib(offer, settings)
    return HostLayout(
        offer,
        tuple(NodeLayout(cell, dict(counts[cell.id]), kept.get(cell.id, 0)) for cell in with_cpus),
        resources,
        {name: tuple(members) for name, members in devices.items()},
    )


def needs_wide_addresses(offer: HostOffer) -> bool:
    """Check whether QEMU's default of 40 address bits is too small for some guest on a host.

    Such a guest has all GPUs of a model and all memory.
    """
    host_gib = offer.inventory.memory_gib
    by_model: dict[str, list[tuple[int, ...]]] = {}
    for gpu in offer.gpus:
        if high := gpu.device.high_bars:
            by_model.setdefault(gpu.model, []).append(high)
    platform = guest_platform(offer, {})
    return any(max_ram_gib(bars, platform, host_gib) != host_gib for bars in by_model.values())


def guest_platform(offer: HostOffer, extra_specs: Mapping[str, str]) -> GuestPlatform:
    """Return what limits the address space of a flavor's guests on a host; they boot by UEFI."""
    cpu = offer.inventory.cpu
    mode, bits = extra_specs.get(MAXPHYSADDR_MODE), extra_specs.get(MAXPHYSADDR_BITS, "")
    if mode != PASSTHROUGH and bits.isdecimal():
        return GuestPlatform(
            min(int(bits), cpu.physical_address_bits or int(bits)), cpu.vendor or "intel"
        )
    return GuestPlatform.of_host(cpu.physical_address_bits, cpu.vendor, mode == PASSTHROUGH)


def _kept_mib(offer: HostOffer, settings: Settings) -> dict[int, int]:
    """Return the memory that the host keeps of each node without reserving it there.

    Placement refuses servers that use all memory of the nodes.
    """
    plan = memory.plan(offer, settings.reserved_host_memory_mb, settings.hugepages)
    if plan is None or memory.reserved_small_pages(offer, plan):
        return {}
    return plan.reserved_by_node


def _nearest_nodes(offer: HostOffer, with_cpus: Sequence[HostCell]) -> dict[int, int]:
    """Return the nearest node with CPUs for each node without; empty without NUMA distances."""
    nodes = sorted(offer.inventory.numa_nodes, key=lambda node: node.id)
    order = [node.id for node in nodes]
    targets = [cell.id for cell in with_cpus]
    return {
        node.id: min(targets, key=lambda target: node.distances[order.index(target)])
        for node in nodes
        if node.id not in targets and targets and len(node.distances) == len(order)
    }
