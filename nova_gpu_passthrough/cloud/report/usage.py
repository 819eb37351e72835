# SPDX-License-Identifier: Apache-2.0
"""Usage of CPUs and memory by NUMA node and by host, in numbers and as bars."""

from collections.abc import Iterator
from dataclasses import dataclass

from nova_gpu_passthrough.cloud.report import formatting
from nova_gpu_passthrough.cloud.view.model import CloudHost
from nova_gpu_passthrough.nova_rules.host_cell import HostCell


@dataclass(frozen=True)
class NumaUsage:
    """CPUs and memory of a NUMA node; only servers with NUMA cells count as usage, as in Nova."""

    id: int
    #: CPUs (threads) for pinning.
    pinned_total: int
    pinned_free: int
    #: CPUs that guests without pinning share.
    shared_total: int
    #: vCPUs of guests with NUMA cells on the shared CPUs.
    shared_used: int
    #: Memory of the page size that has most of it, without the part reserved for the host.
    memory_total_mib: int
    memory_free_mib: int


@dataclass(frozen=True)
class UsageBar:
    """A bar that shows how much of a resource is used."""

    name: str
    #: Used part, 0 to 100.
    percent: float
    #: Free amount.
    text: str
    title: str


def numa_usage(cell: HostCell) -> NumaUsage:
    """Return the usage of a NUMA node."""
    total, free = cell.memory_mib, cell.free_mib
    if cell.pages:
        most = max(cell.pages, key=lambda pages: pages.total_kib - pages.reserved * pages.size_kib)
        total = (most.total - most.reserved) * most.size_kib // 1024
        free = most.free_kib // 1024
    return NumaUsage(
        cell.id,
        len(cell.dedicated),
        len(cell.free_pinned),
        len(cell.shared),
        cell.shared_used,
        max(0, total),
        max(0, free),
    )


def numa_bars(usage: NumaUsage) -> Iterator[UsageBar]:
    """Yield the bars of a NUMA node: CPUs (those for pinning, if it has any) and memory."""
    if usage.pinned_total:
        yield _bar("CPU", usage.pinned_total, usage.pinned_free, "CPUs for pinning")
    elif usage.shared_total:
        free = max(0, usage.shared_total - usage.shared_used)
        yield _bar("CPU", usage.shared_total, free, "shared CPUs")
    if usage.memory_total_mib:
        yield _memory_bar(usage.memory_total_mib, usage.memory_free_mib)


def host_bars(host: CloudHost) -> Iterator[UsageBar]:
    """Yield the bars of a host: its resources in Placement, used by all of its servers."""
    for name, what in (("PCPU", "CPUs for pinning"), ("VCPU", "shared vCPUs")):
        resource = host.resources.get(name)
        if resource and resource.capacity:
            yield _bar(name, resource.capacity, resource.free, what)
    memory = host.resources.get("MEMORY_MB")
    if memory and memory.capacity:
        yield _memory_bar(memory.capacity, memory.free)


def _bar(name: str, total: int, free: int, what: str) -> UsageBar:
    text = f"{free} of {total}"
    percent = round(100 * (total - free) / total, 1)
    return UsageBar(name, percent, f"{text} free", f"{text} {what} free")


def _memory_bar(total_mib: int, free_mib: int) -> UsageBar:
    percent = round(100 * (total_mib - free_mib) / total_mib, 1)
    text = f"{formatting.gib(free_mib)} of {formatting.gib(total_mib)}"
    return UsageBar("RAM (GiB)", percent, f"{text} free", f"{text} GiB of RAM free")
