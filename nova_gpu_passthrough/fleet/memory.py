# SPDX-License-Identifier: Apache-2.0
"""How much memory the host keeps, and the 1 GiB pages of servers' memory.

VFIO pins all memory of a guest with a passed-through device, so none of it can be overcommitted.
"""

from dataclasses import dataclass

from nova_gpu_passthrough.fleet.offers import Offer

_GIB = 1024
#: Of all memory, for QEMU, page tables of guests and IOMMU, and the host's services.
_SHARE = 0.02
_LEAST_MIB = 8 * _GIB
#: Nodes differ by what firmware and kernel keep of them.
_NEARLY_ALIKE = 0.05


@dataclass(frozen=True)
class MemoryPlan:
    """Memory of a host, in MiB."""

    #: Of all nodes, rounded.
    total_mib: int
    #: ``[DEFAULT] reserved_host_memory_mb``.
    reserved_mib: int
    #: What of it each NUMA node keeps.
    reserved_by_node: dict[int, int]
    #: 1 GiB pages by NUMA node; empty where there shall be none.
    huge_pages: dict[int, int]
    #: All memory of each NUMA node, rounded.
    total_by_node: dict[int, int]

    @property
    def kernel_options(self) -> tuple[str, ...]:
        """What makes the pages at boot (Documentation/admin-guide/kernel-parameters.txt).

        A plain number is spread evenly over the nodes; the form by node takes Linux 5.16.
        """
        counts = set(self.huge_pages.values())
        if not counts:
            return ()
        if len(counts) == 1:
            text = str(sum(self.huge_pages.values()))
        else:
            text = ",".join(f"{node}:{count}" for node, count in self.huge_pages.items())
        return "default_hugepagesz=1G", "hugepagesz=1G", f"hugepages={text}"


def plan(offer: Offer, reserved_mib: int | None, hugepages: bool) -> MemoryPlan | None:
    """The plan for a host; None where its memory is not known.

    :param reserved_mib: what the operator wants the host to keep
    """
    nodes = {
        node.id: _rounded(node.memory_mib) for node in offer.inventory.numa_nodes if node.memory_mib
    }
    total = sum(nodes.values())
    if not total:
        return None
    if reserved_mib is None:
        reserved_mib = max(int(total * _SHARE), min(_LEAST_MIB, total // 4))
        if reserved_mib > _GIB:
            reserved_mib = -(-reserved_mib // _GIB) * _GIB
    reserved_mib = min(reserved_mib, total)
    by_node = {node: -(-reserved_mib * mib // total) for node, mib in nodes.items()}
    pages: dict[int, int] = {}
    if hugepages and offer.inventory.cpu.vendor in ("intel", "amd"):
        pages = {node: (mib - by_node[node]) // _GIB for node, mib in nodes.items()}
        least, most = min(pages.values()), max(pages.values())
        if most - least <= _NEARLY_ALIKE * most:
            pages = dict.fromkeys(pages, least)
        pages = pages if least > 0 else {}
    if pages:
        # What is no huge page is the host's.
        by_node = {node: mib - pages[node] * _GIB for node, mib in nodes.items()}
        reserved_mib = sum(by_node.values())
    return MemoryPlan(total, reserved_mib, by_node, pages, nodes)


def _rounded(mib: int) -> int:
    """What the kernel keeps of a node differs from boot to boot; the files shall not."""
    unit = _GIB if mib >= 16 * _GIB else 64
    return max(mib // unit * unit, 1)
