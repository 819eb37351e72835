# SPDX-License-Identifier: Apache-2.0
"""How much of CPUs and memory is used, as bars."""

from collections.abc import Iterator
from dataclasses import dataclass

from nova_gpu_passthrough.cloud.report.page import words
from nova_gpu_passthrough.cloud.report.page.node import NodeRoom
from nova_gpu_passthrough.cloud.view.model import Host


@dataclass(frozen=True)
class Bar:
    """How much of something is used."""

    name: str
    #: Used, 0 to 100.
    percent: float
    #: What is left.
    text: str
    title: str


def of_node(room: NodeRoom) -> Iterator[Bar]:
    """A NUMA node's CPUs, those for pinning if it has any, and memory."""
    if room.pinned_total:
        yield _bar("CPU", room.pinned_total, room.pinned_free, "CPUs for pinning")
    elif room.shared_total:
        free = max(0, room.shared_total - room.shared_used)
        yield _bar("CPU", room.shared_total, free, "shared CPUs")
    if room.memory_total_mib:
        yield _memory(room.memory_total_mib, room.memory_free_mib)


def of_host(host: Host) -> Iterator[Bar]:
    """What Placement has: the whole host's, of all its servers."""
    for name, what in (("PCPU", "CPUs for pinning"), ("VCPU", "shared vCPUs")):
        found = host.resources.get(name)
        if found and found.capacity:
            yield _bar(name, found.capacity, found.free, what)
    memory = host.resources.get("MEMORY_MB")
    if memory and memory.capacity:
        yield _memory(memory.capacity, memory.free)


def _bar(name: str, total: int, free: int, what: str) -> Bar:
    text = f"{free} of {total}"
    return Bar(name, round(100 * (total - free) / total, 1), f"{text} free", f"{text} {what} free")


def _memory(total_mib: int, free_mib: int) -> Bar:
    percent = round(100 * (total_mib - free_mib) / total_mib, 1)
    text = f"{words.gib(free_mib)} of {words.gib(total_mib)}"
    return Bar("RAM (GiB)", percent, f"{text} free", f"{text} GiB of RAM free")
