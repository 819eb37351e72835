# SPDX-License-Identifier: Apache-2.0
"""The resources of an empty host, as nova-compute reports them with the generated nova.conf.

Restates ``_get_host_numa_topology``, ``_get_vcpu_available`` and ``_get_pcpu_available`` in
nova/virt/libvirt/driver.py for the options of ``generate/compute_options.py``.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from nova_gpu_passthrough.files import cpu_list
from nova_gpu_passthrough.fleet import cpu_sets, memory
from nova_gpu_passthrough.fleet.offers import HostOffer
from nova_gpu_passthrough.fleet.settings import Settings
from nova_gpu_passthrough.inventory.host import NumaNode
from nova_gpu_passthrough.nova_rules.host_cell import HostCell, MemoryPages

_KIB = 1024
_HUGE_PAGE_KIB = 1024 * 1024


@dataclass(frozen=True)
class ReportedResources:
    """The resources that nova-compute reports of an empty host."""

    #: All NUMA cells, by id.
    cells: tuple[HostCell, ...]
    #: The totals of the resource classes VCPU, PCPU and MEMORY_MB in Placement.
    vcpus: int
    pcpus: int
    memory_mib: int
    #: ``[DEFAULT] reserved_host_memory_mb``; None where the memory is not known.
    reserved_mib: int | None


def make(offer: HostOffer, settings: Settings) -> ReportedResources:
    """Make the resources of a host from its inventory and the settings.

    If no CPU sets are proposed (see ``cpu_sets``), nova.conf has neither ``cpu_shared_set`` nor
    ``cpu_dedicated_set``: then Nova shares all CPUs and reports no PCPU, but NUMA cells also have
    all CPUs for pinning, by a second request to Placement for VCPU. If the memory is not known, the
    cells have neither memory nor pages.
    """
    sets = cpu_sets.propose(offer, settings.host_cores)
    plan = memory.plan(offer, settings.reserved_host_memory_mb, settings.hugepages)
    reserved = memory.reserved_small_pages(offer, plan)
    cells = []
    for node in sorted(offer.inventory.numa_nodes, key=lambda node: node.id):
        cpus = _cpus(node.cpus)
        shared, dedicated = (cpus & sets.shared, cpus & sets.dedicated) if sets else (cpus, cpus)
        usable = (core & (shared | dedicated) for core in _cores(node, cpus))
        cells.append(
            HostCell(
                node.id,
                node.memory_mib,
                node.socket,
                shared=shared,
                dedicated=dedicated,
                siblings=tuple(filter(None, usable)),
                pages=tuple(_pages(node, plan, reserved.get(node.id, 0))) if plan else (),
            )
        )
    return ReportedResources(
        tuple(cells),
        sum(len(cell.shared) for cell in cells),
        len(sets.dedicated) if sets else 0,
        sum(cell.memory_mib for cell in cells),
        plan.reserved_mib if plan else None,
    )


def _pages(node: NumaNode, plan: memory.MemoryPlan, reserved: int) -> Iterator[MemoryPages]:
    """Yield the small pages, then the huge pages by size, as libvirt reports them.

    libvirt counts the memory outside of huge pages as small pages. They have 4 KiB on x86; an
    inventory does not contain their size on other processors, where they may be larger.

    :param reserved: small pages that nova.conf reserves
    """
    huge = {pool.size_kib: pool.total for pool in node.huge_pages}
    if plan.huge_pages:
        # The planned kernel options replace those that allocated the pages of the inventory.
        huge = dict.fromkeys(huge, 0) | {_HUGE_PAGE_KIB: plan.huge_pages.get(node.id, 0)}
    small = node.memory_mib * _KIB - sum(size * count for size, count in huge.items())
    size = memory.SMALL_PAGE_KIB
    yield MemoryPages(size, max(0, small) // size, reserved=reserved)
    for size, count in sorted(huge.items()):
        yield MemoryPages(size, count)


def _cores(node: NumaNode, cpus: frozenset[int]) -> list[frozenset[int]]:
    """Return the cores of a node; a CPU whose core is not known is one.

    libvirt reports the siblings of every CPU, so Nova can pin vCPUs to it.
    """
    known = cpu_sets.cores(node)
    unknown = cpus.difference(*known)
    return sorted([*known, *(frozenset((cpu,)) for cpu in unknown)], key=min)


def _cpus(text: str) -> frozenset[int]:
    """Parse a list of CPUs; empty if it is invalid, as in an inventory that was edited."""
    try:
        return frozenset(cpu_list.parse(text))
    except ValueError:
        return frozenset()
