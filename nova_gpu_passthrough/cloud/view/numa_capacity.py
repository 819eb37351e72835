# SPDX-License-Identifier: Apache-2.0
"""Compute what a host's NUMA nodes have free, which neither Nova's API nor Placement reports.

The empty nodes come from ``fleet/host_cells.py``. What guests use comes from Nova, server by
server.
"""

from collections.abc import Iterable, Iterator, Mapping

from nova_gpu_passthrough.cloud.view.model import Resource, Server
from nova_gpu_passthrough.fleet.host_cells import ReportedResources
from nova_gpu_passthrough.nova_rules.host_cell import HostCell

#: Fraction of the memory by which Placement and inventory may differ: the kernel's own share
#: changes from boot to boot.
_MEMORY_TOLERANCE = 0.03


def free_cells(whole: ReportedResources, servers: Iterable[Server]) -> tuple[HostCell, ...]:
    """Return the cells minus what servers use of them."""
    cells = {cell.id: cell for cell in whole.cells}
    for server in servers:
        for use in server.cells:
            if use.node not in cells:
                continue
            pinned = use.pinned
            if _isolates_threads(server):
                # Nova pins the sibling threads, too
                # (``pin_cpus_with_siblings`` in nova/objects/numa.py).
                siblings = cells[use.node].siblings
                pinned = pinned.union(*(core for core in siblings if core & pinned))
            cells[use.node] = cells[use.node].consume(
                use.memory_mib, use.vcpus - len(use.pinned), pinned, use.page_size_kib
            )
    return tuple(cells.values())


def placement_differences(
    whole: ReportedResources, resources: Mapping[str, Resource]
) -> Iterator[str]:
    """Describe where a host's resources in Placement differ from the generated nova.conf."""
    nothing = Resource(0)
    for name, expected in (("PCPU", whole.pcpus), ("VCPU", whole.vcpus)):
        total = resources.get(name, nothing).total
        if total != expected:
            yield f"{total} {name} in Placement, {expected} by inventory and fleet file"
    reserved = resources.get("MEMORY_MB", nothing).reserved
    if whole.reserved_mib is not None and reserved != whole.reserved_mib:
        expected = whole.reserved_mib
        yield f"{reserved} MiB reserved in Placement, {expected} by inventory and fleet file"


def memory_differs(whole: ReportedResources, resources: Mapping[str, Resource]) -> bool:
    """Check whether a host has clearly more or less memory than its inventory says."""
    resource, expected = resources.get("MEMORY_MB"), whole.memory_mib
    return resource is not None and abs(resource.total - expected) > _MEMORY_TOLERANCE * expected


def _isolates_threads(server: Server) -> bool:
    properties = server.image_properties or {}
    return "isolate" in (
        server.extra_specs.get("hw:cpu_thread_policy"),
        properties.get("hw_cpu_thread_policy"),
    )
