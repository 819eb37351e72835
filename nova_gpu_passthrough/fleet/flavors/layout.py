# SPDX-License-Identifier: Apache-2.0
"""A host as flavors are made for it: NUMA nodes, and the GPUs that share their CPUs and memory."""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from nova_gpu_passthrough.fleet import host_cells
from nova_gpu_passthrough.fleet.aliases import Alias, Key, key_of
from nova_gpu_passthrough.fleet.offers import Kind, Offer, Offered
from nova_gpu_passthrough.fleet.settings import Settings
from nova_gpu_passthrough.nova_rules import guest_topology
from nova_gpu_passthrough.nova_rules.host_cell import HostCell


@dataclass(frozen=True)
class Node:
    """A NUMA node that has CPUs for servers."""

    cell: HostCell
    #: GPUs that share its CPUs and memory, by alias: its own, and those of no such node.
    gpus: Mapping[str, int]

    @property
    def gpu_count(self) -> int:
        """GPUs of all aliases."""
        return sum(self.gpus.values())

    def vcpus(self, pinned: bool) -> int:
        """CPUs for pinned vCPUs, or for those that are shared."""
        return len(self.cell.dedicated if pinned else self.cell.shared)

    def ram_mib(self, page_size: int | None) -> int:
        """The most memory of one server.

        :param page_size: KiB, or a word of ``topology.guest``
        """
        sizes = sorted(self.cell.pages, key=lambda pages: pages.size_kib)
        if page_size in (None, guest_topology.SMALL):
            sizes = sizes[:1]
        elif page_size == guest_topology.LARGE:
            sizes = sizes[1:]
        elif page_size != guest_topology.ANY:
            sizes = [pages for pages in sizes if pages.size_kib == page_size]
        return max((int(pages.free_kib) // 1024 for pages in sizes), default=0)


@dataclass(frozen=True)
class Layout:
    """A host."""

    offer: Offer
    nodes: tuple[Node, ...]
    #: All NUMA cells, those without CPUs too.
    cells: tuple[HostCell, ...]
    #: Functions that servers can get, by alias.
    devices: Mapping[str, tuple[Offered, ...]]

    @property
    def host(self) -> str:
        """The host's name."""
        return self.offer.host

    @property
    def gpu_count(self) -> int:
        """GPUs of all aliases."""
        return len(self.offer.gpus)

    def gpus(self, alias: Alias) -> tuple[Offered, ...]:
        """GPUs of one alias."""
        return self.devices.get(alias.name, ())

    def fewest_nodes(self, alias: Alias, count: int) -> int | None:
        """On how few nodes so many GPUs are; None if the host does not have them."""
        sizes = sorted((node.gpus.get(alias.name, 0) for node in self.nodes), reverse=True)
        sums = itertools.accumulate(sizes)
        return next((number for number, size in enumerate(sums, 1) if size >= count), None)

    def node_sets(self, alias: Alias, count: int, size: int) -> Iterator[Sequence[Node]]:
        """All sets of so many nodes that together have so many GPUs."""
        for nodes in itertools.combinations(self.nodes, size):
            if sum(node.gpus.get(alias.name, 0) for node in nodes) >= count:
                yield nodes


def of(offer: Offer, known: Mapping[Key, Alias], settings: Settings) -> Layout:
    """A host's layout, with the nova.conf that is made for it."""
    cells = host_cells.make(offer, settings)
    with_cpus = [cell for cell in cells if cell.shared or cell.dedicated]
    near = {cell.id: cell.id for cell in with_cpus} | _nearest(offer, with_cpus)
    counts = {cell.id: Counter[str]() for cell in with_cpus}
    strays = []
    devices: dict[str, list[Offered]] = {}
    for offered in offer.devices:
        alias = known[key_of(offered)]
        devices.setdefault(alias.name, []).append(offered)
        if offered.kind is not Kind.GPU:
            continue
        node = near.get(offered.device.numa_node) if offered.device.numa_node is not None else None
        if node is None:
            strays.append(alias.name)
        else:
            counts[node][alias.name] += 1
    for name in strays:
        # Of no known node: they may be used with any.
        if counts:
            min(counts.values(), key=lambda counter: counter.total())[name] += 1
    return Layout(
        offer,
        tuple(Node(cell, dict(counts[cell.id])) for cell in with_cpus),
        cells,
        {name: tuple(found) for name, found in devices.items()},
    )


def _nearest(offer: Offer, with_cpus: Sequence[HostCell]) -> dict[int, int]:
    """The nearest node with CPUs for each without; none where no distances tell."""
    nodes = sorted(offer.inventory.numa_nodes, key=lambda node: node.id)
    order = [node.id for node in nodes]
    targets = [cell.id for cell in with_cpus]
    return {
        node.id: min(targets, key=lambda target: node.distances[order.index(target)])
        for node in nodes
        if node.id not in targets and targets and len(node.distances) == len(order)
    }
