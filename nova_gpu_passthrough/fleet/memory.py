# SPDX-License-Identifier: Apache-2.0
"""The memory that a host keeps, and the 1 GiB pages for the memory of servers.

VFIO pins all memory of a guest with a passed-through device, so it cannot be overcommitted.
"""

from dataclasses import dataclass, replace

from nova_gpu_passthrough.fleet.offers import HostOffer

_GIB = 1024
#: The part of all memory for QEMU, page tables of guests and IOMMU, and the host's services.
_HOST_SHARE = 0.02
_MIN_RESERVED_MIB = 8 * _GIB
#: Nodes differ slightly, because firmware and kernel keep some memory of them. Up to this relative
#: difference they get equal numbers of pages.
_TOLERANCE = 0.05
#: The size of small pages on x86.
SMALL_PAGE_KIB = 4


@dataclass(frozen=True)
class MemoryPlan:
    """The memory of a host, in MiB."""

    #: Of all nodes, rounded.
    total_mib: int
    #: ``[DEFAULT] reserved_host_memory_mb``.
    reserved_mib: int
    #: Its part of each NUMA node.
    reserved_by_node: dict[int, int]
    #: 1 GiB pages by NUMA node; empty without 1 GiB pages.
    huge_pages: dict[int, int]
    #: All memory of each NUMA node, rounded.
    total_by_node: dict[int, int]

    @property
    def kernel_options(self) -> tuple[str, ...]:
        """Return the kernel options that allocate the 1 GiB pages at boot.

        The kernel spreads a plain number evenly over the nodes; the form with numbers by node needs
        Linux 5.16 (Documentation/admin-guide/kernel-parameters.txt).
        """
        counts = set(self.huge_pages.values())
        if not counts:
            return ()
        if len(counts) == 1:
            text = str(sum(self.huge_pages.values()))
        else:
            text = ",".join(f"{node}:{count}" for node, count in self.huge_pages.items())
        return "default_hugepagesz=1G", "hugepagesz=1G", f"hugepages={text}"


def plan(offer: HostOffer, reserved_mib: int | None, hugepages: bool) -> MemoryPlan | None:
    """Plan the memory of a host; None if its memory is unknown.

    :param reserved_mib: the memory that the host keeps, as configured; None: a default
    """
    nodes = {
        node.id: _rounded(node.memory_mib) for node in offer.inventory.numa_nodes if node.memory_mib
    }
    total = sum(nodes.values())
    if not total:
        return None
    if reserved_mib is None:
        reserved_mib = max(int(total * _HOST_SHARE), min(_MIN_RESERVED_MIB, total // 4))
        if reserved_mib > _GIB:
            reserved_mib = -(-reserved_mib // _GIB) * _GIB
    reserved_mib = min(reserved_mib, total)
    by_node = {node: -(-reserved_mib * mib // total) for node, mib in nodes.items()}
    pages: dict[int, int] = {}
    if hugepages and offer.inventory.cpu.is_x86:
        pages = {node: (mib - by_node[node]) // _GIB for node, mib in nodes.items()}
        least, most = min(pages.values()), max(pages.values())
        if most - least <= _TOLERANCE * most:
            pages = dict.fromkeys(pages, least)
        pages = pages if least > 0 else {}
    if pages:
        # The host keeps all memory that is not in huge pages.
        by_node = {node: mib - pages[node] * _GIB for node, mib in nodes.items()}
        reserved_mib = sum(by_node.values())
    return MemoryPlan(total, reserved_mib, by_node, pages, nodes)


def reserved_small_pages(offer: HostOffer, plan: MemoryPlan | None) -> dict[int, int]:
    """Return the small pages that each NUMA node keeps for the host (``reserved_huge_pages``).

    Empty on other processors than x86, because the size of their small pages is unknown.
    """
    if plan is None or not offer.inventory.cpu.is_x86:
        return {}
    return {node: mib * 1024 // SMALL_PAGE_KIB for node, mib in plan.reserved_by_node.items()}


def with_rounded_nodes(offer: HostOffer) -> HostOffer:
    """Return the host with the memory of its NUMA nodes as in `plan`.

    Flavors are planned for such hosts, so that they depend neither on the boot at which a host was
    audited nor on the few MiB by which equal hosts differ.
    """
    nodes = tuple(
        replace(node, memory_mib=_rounded(node.memory_mib)) if node.memory_mib else node
        for node in offer.inventory.numa_nodes
    )
    return replace(offer, inventory=replace(offer.inventory, numa_nodes=nodes))


def _rounded(mib: int) -> int:
    """Round the memory of a node, which differs from boot to boot, so that files do not differ."""
    unit = _GIB if mib >= 16 * _GIB else 64
    return max(mib // unit * unit, 1)
