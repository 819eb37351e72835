# SPDX-License-Identifier: Apache-2.0
"""What NUMA nodes of a host have left, which neither Nova's API nor Placement tells.

The nodes come from the host's inventory, and what of them is for guests from the generator, which
wrote the host's nova.conf; what guests took of them Nova tells by server.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from nova_gpu_passthrough.cloud.view.model import Resource, Server
from nova_gpu_passthrough.files import cpu_list
from nova_gpu_passthrough.fleet import cpu_sets, memory
from nova_gpu_passthrough.fleet.memory import MemoryPlan
from nova_gpu_passthrough.fleet.offers import Offer
from nova_gpu_passthrough.fleet.settings import Settings
from nova_gpu_passthrough.inventory.host import NumaNode
from nova_gpu_passthrough.nova_rules.host_cell import HostCell, Pages

#: Of all memory; the kernel keeps more or less of it from boot to boot.
_NEARLY = 0.03
_SMALL_KIB = 4
_GIB_KIB = 1024 * 1024


@dataclass(frozen=True)
class Layout:
    """What of a host is for guests while it is empty."""

    cells: tuple[HostCell, ...]
    #: CPU ids of each core.
    cores: tuple[frozenset[int], ...]
    #: What Placement should have in all, by resource class.
    totals: Mapping[str, int]
    #: ``[DEFAULT] reserved_host_memory_mb``; None where no memory is known.
    reserved_mib: int | None


def layout(offer: Offer, settings: Settings) -> Layout:
    """What the generator's nova.conf gives to guests (see ``generate/compute_options.py``)."""
    sets = cpu_sets.propose(offer, settings.host_cores)
    plan = memory.plan(offer, settings.reserved_host_memory_mb, settings.hugepages)
    # Small pages are reserved by NUMA node on processors only that have pages of 4 KiB.
    small_pages = offer.inventory.cpu.vendor in ("intel", "amd")
    cells, cores = [], []
    for node in offer.inventory.numa_nodes:
        cpus = _cpus(node.cpus)
        # Without both options Nova shares all CPUs, and lets any be pinned in a NUMA cell.
        shared, dedicated = (cpus & sets.shared, cpus & sets.dedicated) if sets else (cpus, cpus)
        own = sorted(filter(None, map(_cpus, node.cores)), key=min)
        usable = (core & (shared | dedicated) for core in own)
        cores += own
        cells.append(
            HostCell(
                node.id,
                node.memory_mib,
                node.socket,
                shared,
                dedicated=dedicated,
                siblings=tuple(filter(None, usable)),
                pages=_pages(node, plan) if small_pages else (),
            )
        )
    return Layout(
        tuple(cells),
        tuple(cores),
        {
            "PCPU": len(sets.dedicated) if sets else 0,
            "VCPU": sum(len(cell.shared) for cell in cells),
        },
        plan.reserved_mib if plan else None,
    )


def left(whole: Layout, servers: Iterable[Server]) -> tuple[HostCell, ...]:
    """What servers leave of it."""
    cells = {cell.id: cell for cell in whole.cells}
    for server in servers:
        for use in server.cells:
            if use.node not in cells:
                continue
            pinned = use.pinned
            if _isolates(server):
                # Nova keeps the other threads of its cores from others
                # (``pin_cpus_with_siblings`` in nova/objects/numa.py).
                pinned = pinned.union(*(core for core in whole.cores if core & pinned))
            cells[use.node] = cells[use.node].with_use(
                use.memory_mib, use.vcpus - len(use.pinned), pinned, use.page_size_kib
            )
    return tuple(cells.values())


def disagreements(whole: Layout, resources: Mapping[str, Resource]) -> Iterator[str]:
    """Where Placement's numbers of a host are not those of the generator's nova.conf."""
    nothing = Resource(0)
    for name, count in whole.totals.items():
        found = resources.get(name, nothing).total
        if found != count:
            yield f"{found} {name} in Placement, {count} by inventory and fleet file"
    found = resources.get("MEMORY_MB", nothing).reserved
    if whole.reserved_mib is not None and found != whole.reserved_mib:
        yield f"{found} MiB reserved in Placement, {whole.reserved_mib} by inventory and fleet file"


def memory_disagrees(whole: Layout, resources: Mapping[str, Resource]) -> bool:
    """Whether a host has clearly more or less memory than its inventory says."""
    found, total = resources.get("MEMORY_MB"), sum(cell.memory_mib for cell in whole.cells)
    return found is not None and abs(found.total - total) > _NEARLY * total


def _pages(node: NumaNode, plan: MemoryPlan | None) -> tuple[Pages, ...]:
    """Every size, as libvirt tells Nova, and what ``reserved_huge_pages`` keeps of them."""
    huge = {pool.size_kib: pool.total for pool in node.huge_pages}
    if plan and plan.huge_pages:
        huge = {_GIB_KIB: plan.huge_pages.get(node.id, 0)}
    kib = node.memory_mib * 1024 - sum(size * count for size, count in huge.items())
    reserved = plan.reserved_by_node.get(node.id, 0) if plan else 0
    small = Pages(_SMALL_KIB, max(0, kib) // _SMALL_KIB, 0, reserved * 1024 // _SMALL_KIB)
    return (small, *(Pages(size, count) for size, count in sorted(huge.items())))


def _isolates(server: Server) -> bool:
    properties = server.image_properties or {}
    return "isolate" in (
        server.extra_specs.get("hw:cpu_thread_policy"),
        properties.get("hw_cpu_thread_policy"),
    )


def _cpus(text: str) -> frozenset[int]:
    """CPUs of a list; none of what is no list, in an inventory that somebody edited."""
    try:
        return frozenset(cpu_list.parse(text))
    except ValueError:
        return frozenset()
