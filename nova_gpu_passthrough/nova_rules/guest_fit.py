# SPDX-License-Identifier: Apache-2.0
"""Which host NUMA cells a guest gets, decided as Nova decides it.

The rules, the order in which host cells are tried and what is remembered between tries are those
of ``numa_fit_instance_to_host`` in nova/virt/hardware.py (Nova 31 to 34) with
``[compute] packing_host_numa_cells_allocation_strategy`` off, its default. Nova writes into the
guest's cells as it tries, so that a later try starts from what an earlier one left; this is kept.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from nova_gpu_passthrough.nova_rules.guest_topology import (
    ANY,
    LARGE,
    SMALL,
    CpuPolicy,
    Guest,
    ThreadPolicy,
)
from nova_gpu_passthrough.nova_rules.host_cell import HostCell

#: Which node numbers of host cells, in the order of the guest's cells, suit the guest's devices.
Suits = Callable[[Sequence[int]], bool]


class Ratios(NamedTuple):
    """Allocation ratios of the host; they count for vCPUs that are not pinned."""

    cpu: float = 1.0
    ram: float = 1.0


class TakenCell(NamedTuple):
    """What one guest cell takes of a host cell."""

    node: int
    memory_mib: int
    shared: int
    pinned: frozenset[int]
    page_size_kib: int | None

    def of(self, cell: HostCell, isolate: bool) -> HostCell:
        """What is left of the host cell.

        :param isolate: whether the other threads of its cores are kept free
        :raises ValueError: if the CPUs are not the cell's, or not free
        """
        pinned = self.pinned
        if isolate:
            pinned = frozenset().union(*(core for core in cell.siblings if core & pinned))
        if not pinned <= cell.free_pinned:
            raise ValueError(f"CPUs {sorted(pinned - cell.free_pinned)} of node {cell.id}")
        return cell.with_use(self.memory_mib, self.shared, pinned, self.page_size_kib)


class GuestState:
    """A guest's cells with what earlier tries wrote into them."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.ids = list(range(len(guest.cells)))
        self.page_sizes = [guest.page_size] * len(guest.cells)
        self.pinned: list[frozenset[int]] = [frozenset()] * len(guest.cells)

    def taken(self) -> tuple[TakenCell, ...]:
        """What the cells take, as they stand."""
        return tuple(
            TakenCell(node, cell.memory_mib, cell.shared_cpus, pinned, page_size)
            for node, cell, pinned, page_size in zip(
                self.ids, self.guest.cells, self.pinned, self.page_sizes, strict=True
            )
        )


def fit_guest(
    cells: Sequence[HostCell],
    state: GuestState,
    ratios: Ratios | None = None,
    suits: Suits = lambda nodes: True,
    devices: Mapping[int | None, int] | None = None,
    wants_devices: bool = False,
) -> tuple[TakenCell, ...] | None:
    """What the guest takes of the first host cells on which it fits; None if there are none.

    :param ratios: None: no limit for CPUs that are shared
    :param suits: whether the guest's devices may be used with its cells there
    :param devices: free PCI devices by NUMA node; None where the host has no PCI devices
    :param wants_devices: whether the guest asks for any
    """
    guest = state.guest
    if not guest.cells or len(cells) < len(guest.cells):
        return None
    order = list(cells)
    if len(cells) > len(guest.cells):
        order = _ordered(cells, guest, devices, wants_devices)
    fits: set[tuple[int, int]] = set()
    fails: set[tuple[int, int]] = set()
    for tried in itertools.permutations(order, len(guest.cells)):
        for index, cell in enumerate(tried):
            pair = cell.id, state.ids[index]
            if pair in fails:
                break
            if pair in fits:
                state.ids[index] = cell.id
                continue
            extra = int(guest.emulator_isolated and index == 0)
            if not _fit_cell(cell, state, index, ratios, extra):
                fails.add(pair)
                break
            fits.add(pair)
        else:
            if suits([cell.id for cell in tried]):
                return state.taken()
    return None


def _ordered(
    cells: Sequence[HostCell],
    guest: Guest,
    devices: Mapping[int | None, int] | None,
    wants_devices: bool,
) -> list[HostCell]:
    """The emptiest cells first, but before all those with (or without) the most PCI devices."""
    order = sorted(cells, key=lambda cell: cell.free_mib, reverse=True)
    if guest.pins:
        order.sort(key=lambda cell: len(cell.free_pinned), reverse=True)
    else:
        order.sort(key=lambda cell: cell.shared_used)
    if devices is not None:
        order.sort(key=lambda cell: devices.get(cell.id, 0), reverse=wants_devices)
    return order


def _fit_cell(
    cell: HostCell, state: GuestState, index: int, ratios: Ratios | None, extra: int
) -> bool:
    """Fit one guest cell to one host cell (``_numa_fit_instance_cell``).

    :param extra: CPUs for QEMU's own threads
    """
    guest, wanted = state.guest, state.guest.cells[index]
    if not _fit_memory(cell, state, index):
        return False
    if guest.pins and wanted.pinned_cpus + extra > len(cell.dedicated):
        return False
    shares = guest.cpu_policy is not CpuPolicy.DEDICATED
    if shares and wanted.shared_cpus > len(cell.shared):
        return False
    if guest.pins:
        if wanted.pinned_cpus + extra > len(cell.free_pinned):
            return False
        pinned = pin(cell, wanted.pinned_cpus, guest.thread_policy, extra)
        if pinned is None:
            return False
        state.pinned[index] = pinned
        # Nova does so even where the limits below refuse the cell.
        state.ids[index] = cell.id
    if shares and ratios is not None:
        if cell.shared_used + wanted.shared_cpus > len(cell.shared) * ratios.cpu:
            return False
        if cell.used_mib + wanted.memory_mib > cell.memory_mib * ratios.ram:
            return False
    state.ids[index] = cell.id
    return True


def _fit_memory(cell: HostCell, state: GuestState, index: int) -> bool:
    guest, mib = state.guest, state.guest.cells[index].memory_mib
    if state.page_sizes[index]:
        size = page_size_for(cell, state.page_sizes[index] or 0, mib)
        if size is None:
            return False
        state.page_sizes[index] = size
        return True
    if cell.pages:
        # Without pinning, memory may be overcommitted, but not by one guest alone.
        smallest = min(cell.pages, key=lambda pages: pages.size_kib)
        kib = smallest.free_kib if guest.pins else smallest.total_kib
        return mib * 1024 <= kib and mib * 1024 % smallest.size_kib == 0
    return mib <= (cell.free_mib if guest.pins else cell.memory_mib)


def page_size_for(cell: HostCell, wanted: int, memory_mib: int) -> int | None:
    """The page size (KiB) by which a guest cell gets its memory, the largest that does.

    :param wanted: KiB, or `guest.SMALL` and the like
    """
    sizes = sorted((pages.size_kib for pages in cell.pages), reverse=True)
    choice = {SMALL: sizes[-1:], LARGE: sizes[:-1], ANY: sizes}.get(wanted, [wanted])
    by_size = {pages.size_kib: pages for pages in cell.pages}
    kib = memory_mib * 1024
    for size in choice:
        pages = by_size.get(size)
        if pages is not None and kib <= pages.free_kib and kib % size == 0:
            return size
    return None


def pin(
    cell: HostCell, count: int, policy: ThreadPolicy | None = None, extra: int = 0
) -> frozenset[int] | None:
    """Host CPUs for so many vCPUs (``_pack_instance_onto_cores``); None if they cannot be had.

    Cores with many free threads come first, and as many threads of each core as possible.

    :param extra: further CPUs for QEMU's own threads
    """
    free = [core & cell.free_pinned for core in cell.siblings]
    by_threads = {
        threads: [core for core in free if len(core) >= threads]
        for threads in range(1, max(map(len, free), default=0) + 1)
    }
    whole = by_threads.get(1, [])
    if policy is ThreadPolicy.ISOLATE:
        # With threads only where no CPUs are set apart for pinning (bug 1889633).
        if cell.threads not in by_threads or (cell.threads > 1 and cell.dedicated != cell.shared):
            return None
        taken = _taken(by_threads[cell.threads], 1, count, whole, extra, isolate=True)
        return taken or None
    if policy is ThreadPolicy.REQUIRE and cell.threads <= 1:
        return None
    for threads in sorted(by_threads, reverse=True):
        if policy is ThreadPolicy.REQUIRE and threads <= 1:
            continue
        taken = _taken(by_threads[threads], threads, count, whole, extra)
        if taken is not None:
            return taken
    if policy is ThreadPolicy.REQUIRE:
        return None
    # Whatever is free, thread by thread.
    singles = [frozenset((cpu,)) for core in whole for cpu in core]
    return _taken(singles, 1, count, singles, extra)


def _taken(
    cores: Sequence[frozenset[int]],
    threads: int,
    count: int,
    rest: Sequence[frozenset[int]],
    extra: int,
    isolate: bool = False,
) -> frozenset[int] | None:
    """``count`` CPUs of ``cores``, ``threads`` of each, and ``extra`` others of ``rest``.

    :param isolate: whether the others must be of other cores
    """
    if threads * len(cores) < count or (extra and not count):
        return None
    pinned = list(itertools.chain(*(list(core)[:threads] for core in cores)))[:count]
    others = [
        cpu
        for core in rest
        if not (isolate and core.intersection(pinned))
        for cpu in core
        if cpu not in pinned
    ]
    if extra and not others:
        return None
    return frozenset(pinned).union(others[:extra])
