# SPDX-License-Identifier: Apache-2.0
"""A host's NUMA cells as nova-compute will report them, with the nova.conf made for it, empty."""

from collections.abc import Iterator

from nova_gpu_passthrough.files import cpu_list
from nova_gpu_passthrough.fleet import cpu_sets, memory
from nova_gpu_passthrough.fleet.offers import Offer
from nova_gpu_passthrough.fleet.settings import Settings
from nova_gpu_passthrough.inventory.host import NumaNode
from nova_gpu_passthrough.nova_rules.host_cell import HostCell, Pages

_KIB = 1024
_SMALL_PAGE_KIB = 4
_HUGE_PAGE_KIB = 1024 * 1024


def make(offer: Offer, settings: Settings) -> tuple[HostCell, ...]:
    """The cells in the order of their ids.

    Without proposals for CPUs or memory (see ``compute_options``) a cell has none for pinning, or
    no memory.
    """
    sets = cpu_sets.propose(offer, settings.host_cores)
    plan = memory.plan(offer, settings.reserved_host_memory_mb, settings.hugepages)
    cells = []
    for node in sorted(offer.inventory.numa_nodes, key=lambda node: node.id):
        cpus = _cpus(node.cpus)
        shared = cpus & sets.shared if sets else cpus
        dedicated = cpus & sets.dedicated if sets else frozenset()
        cores = (_cpus(core) & (shared | dedicated) for core in node.cores)
        cells.append(
            HostCell(
                node.id,
                plan.total_by_node.get(node.id, 0) if plan else 0,
                node.socket,
                shared=shared,
                dedicated=dedicated,
                siblings=tuple(sorted(filter(None, cores), key=min)),
                pages=tuple(_pages(node, plan)) if plan else (),
            )
        )
    return tuple(cells)


def _pages(node: NumaNode, plan: memory.MemoryPlan) -> Iterator[Pages]:
    """Small pages first; of them the host keeps its share."""
    huge = {pages.size_kib: pages.total for pages in node.huge_pages if pages.total}
    if plan.huge_pages:
        huge = {_HUGE_PAGE_KIB: plan.huge_pages.get(node.id, 0)}
    total = plan.total_by_node.get(node.id, 0) * _KIB
    small = max(0, total - sum(size * count for size, count in huge.items()))
    kept = min(small, plan.reserved_by_node.get(node.id, 0) * _KIB)
    yield Pages(_SMALL_PAGE_KIB, small // _SMALL_PAGE_KIB, reserved=kept // _SMALL_PAGE_KIB)
    for size, count in sorted(huge.items()):
        yield Pages(size, count)


def _cpus(text: str) -> frozenset[int]:
    """CPUs of a list; none of what is no list, in an inventory that somebody edited."""
    try:
        return frozenset(cpu_list.parse(text))
    except ValueError:
        return frozenset()
