# SPDX-License-Identifier: Apache-2.0
"""Of what a host is short where its NUMA nodes do not suit a server, in numbers."""

from collections.abc import Iterator
from dataclasses import replace

from nova_gpu_passthrough.topology.cause import Cause
from nova_gpu_passthrough.topology.guest import Guest
from nova_gpu_passthrough.topology.guest_fit import page_size_for
from nova_gpu_passthrough.topology.host_cell import HostCell
from nova_gpu_passthrough.topology.room import Needs, Room

#: What a shortage of a resource class of Placement is.
CAUSES = {
    "VCPU": Cause.VCPUS,
    "PCPU": Cause.VCPUS,
    "MEMORY_MB": Cause.RAM,
    "DISK_GB": Cause.DISK,
}


def nodes(room: Room, needs: Needs) -> str:
    """The guest's cells, and what each node has left of what they need."""
    guest = needs.guest
    shapes = []
    for cell in dict.fromkeys(guest.cells):
        cpus = [f"{cell.pinned_cpus} pinned"] if cell.pinned_cpus else []
        cpus += [f"{cell.shared_cpus} shared"] if cell.shared_cpus or not cpus else []
        number = guest.cells.count(cell)
        shapes.append(f"{number} x ({' and '.join(cpus)} CPUs, {cell.memory_mib} MiB)")
    has = "; ".join(_node(room, needs, cell) for cell in room.cells)
    return f"the guest needs {', '.join(shapes)}; {has}"


def relaxed(room: Room) -> Iterator[tuple[Cause, Room]]:
    """The room with all CPUs free, with all memory free, and with both."""
    cpus = tuple(replace(cell, pinned=frozenset(), shared_used=0) for cell in room.cells)
    yield Cause.VCPUS, replace(room, cells=cpus)
    yield Cause.RAM, replace(room, cells=tuple(map(_with_memory, room.cells)))
    yield Cause.VCPUS, replace(room, cells=tuple(map(_with_memory, cpus)))


def _with_memory(cell: HostCell) -> HostCell:
    return replace(cell, used_mib=0, pages=tuple(replace(pages, used=0) for pages in cell.pages))


def _node(room: Room, needs: Needs, cell: HostCell) -> str:
    guest = needs.guest
    parts = []
    if needs.kinds:
        gpus = sum(
            device.free
            for device in room.devices
            if device.device.numa_node == cell.id
            and any(device.is_of(kind) for _, kind in needs.kinds)
        )
        parts.append(f"{gpus} free devices of the kind")
    if guest.pins:
        parts.append(f"{len(cell.free_pinned)} of {len(cell.dedicated)} CPUs free for pinning")
    else:
        parts.append(f"{len(cell.shared)} shared CPUs with {cell.shared_used} vCPUs on them")
    parts.append(_memory(guest, cell))
    return f"node {cell.id} has {', '.join(parts)}"


def _memory(guest: Guest, cell: HostCell) -> str:
    if guest.page_size is None or not cell.pages:
        return f"{cell.as_numa_cell().free_memory_mib} of {cell.memory_mib} MiB free"
    wanted = min(one.memory_mib for one in guest.cells)
    size = page_size_for(cell, guest.page_size, wanted)
    if size is not None:
        return f"enough memory in pages of {size} KiB"
    free = ", ".join(f"{p.free_kib // 1024} MiB in pages of {p.size_kib} KiB" for p in cell.pages)
    return f"free: {free}"
