# SPDX-License-Identifier: Apache-2.0
"""Fit a guest's NUMA cells to the host's as Nova does.

Restates ``numa_fit_instance_to_host`` in nova/virt/hardware.py with
``[compute] packing_host_numa_cells_allocation_strategy`` off, its default: the rules, the order in
which host cells are tried, and the state between tries. Nova writes into the guest's cells as it
tries, so that a later try starts from the result of an earlier one.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from nova_gpu_passthrough.nova_rules.guest_topology import (
    ANY,
    LARGE,
    SMALL,
    CpuPolicy,
    GuestTopology,
    ThreadPolicy,
)
from nova_gpu_passthrough.nova_rules.host_cell import HostCell

#: Checks whether a guest gets its devices with its cells on these host NUMA nodes, in this order.
NodeCheck = Callable[[Sequence[int]], bool]


class AllocationRatios(NamedTuple):
    """The allocation ratios of a host, which apply to vCPUs that are not pinned."""

    cpu: float = 1.0
    ram: float = 1.0


class CellUsage(NamedTuple):
    """The CPUs and memory that one guest cell uses of a host cell."""

    node: int
    memory_mib: int
    shared: int
    pinned: frozenset[int]
    page_size_kib: int | None

    def apply_to(self, cell: HostCell, isolate: bool) -> HostCell:
        """Return the host cell with this usage added.

        :param isolate: whether the other threads of the pinned cores are blocked
        :raises ValueError: if the CPUs are not in the cell, or not free
        """
        pinned = self.pinned
        if isolate:
            pinned = frozenset().union(*(core for core in cell.siblings if core & pinned))
        if not pinned <= cell.free_pinned:
            raise ValueError(f"CPUs {sorted(pinned - cell.free_pinned)} of node {cell.id}")
        return cell.consume(self.memory_mib, self.shared, pinned, self.page_size_kib)


class GuestFitState:
    """The guest's cells, into which Nova writes while it tries host cells."""

    def __init__(self, guest: GuestTopology) -> None:
        self.guest = guest
        self.ids = list(range(len(guest.cells)))
        self.page_sizes = [guest.page_size] * len(guest.cells)
        self.pinned: list[frozenset[int]] = [frozenset()] * len(guest.cells)

    def usage(self) -> tuple[CellUsage, ...]:
        """Return the usage of the host's cells as of the last try."""
        return tuple(
            CellUsage(node, cell.memory_mib, cell.shared_cpus, pinned, page_size)
            for node, cell, pinned, page_size in zip(
                self.ids, self.guest.cells, self.pinned, self.page_sizes, strict=True
            )
        )


def fit_guest(
    cells: Sequence[HostCell],
    state: GuestFitState,
    ratios: AllocationRatios | None = None,
    nodes_allowed: NodeCheck = lambda nodes: True,
    devices: Mapping[int | None, int] | None = None,
    requests_devices: bool = False,
) -> tuple[CellUsage, ...] | None:
    """Return the usage of the first host cells on which the guest fits; None if there are none.

    :param ratios: None: no limit for shared CPUs
    :param nodes_allowed: checks whether the guest gets its devices with its cells on these nodes
    :param devices: free PCI devices by NUMA node; None if the host has no PCI devices
    :param requests_devices: whether the guest requests any
    """
    guest = state.guest
    if not guest.cells or len(cells) < len(guest.cells):
        return None
    order = list(cells)
    if len(cells) > len(guest.cells):
        order = _ordered(cells, guest, devices, requests_devices)
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
            if nodes_allowed([cell.id for cell in tried]):
                return state.usage()
    return None


def _ordered(
    cells: Sequence[HostCell],
    guest: GuestTopology,
    devices: Mapping[int | None, int] | None,
    requests_devices: bool,
) -> list[HostCell]:
    """Sort cells by free PCI devices, many first if the guest requests any, then emptiest first."""
    order = sorted(cells, key=lambda cell: cell.free_mib, reverse=True)
    if guest.pins:
        order.sort(key=lambda cell: len(cell.free_pinned), reverse=True)
    else:
        order.sort(key=lambda cell: cell.shared_used)
    if devices is not None:
        order.sort(key=lambda cell: devices.get(cell.id, 0), reverse=requests_devices)
    return order


def _fit_cell(
    cell: HostCell, state: GuestFitState, index: int, ratios: AllocationRatios | None, extra: int
) -> bool:
    """Fit one guest cell to one host cell (``_numa_fit_instance_cell``).

    :param extra: CPUs for emulator threads
    """
    guest, guest_cell = state.guest, state.guest.cells[index]
    if not _fit_memory(cell, state, index):
        return False
    if guest.pins and guest_cell.pinned_cpus + extra > len(cell.dedicated):
        return False
    shares = guest.cpu_policy is not CpuPolicy.DEDICATED
    if shares and guest_cell.shared_cpus > len(cell.shared):
        return False
    if guest.pins:
        if guest_cell.pinned_cpus + extra > len(cell.free_pinned):
            return False
        pinned = pin_cpus(cell, guest_cell.pinned_cpus, guest.thread_policy, extra)
        if pinned is None:
            return False
        state.pinned[index] = pinned
        # As Nova does, even if the limits below refuse the cell.
        state.ids[index] = cell.id
    if shares and ratios is not None:
        if cell.shared_used + guest_cell.shared_cpus > len(cell.shared) * ratios.cpu:
            return False
        if cell.used_mib + guest_cell.memory_mib > cell.memory_mib * ratios.ram:
            return False
    state.ids[index] = cell.id
    return True


def _fit_memory(cell: HostCell, state: GuestFitState, index: int) -> bool:
    guest, mib = state.guest, state.guest.cells[index].memory_mib
    if state.page_sizes[index]:
        size = page_size_for(cell, state.page_sizes[index] or 0, mib)
        if size is None:
            return False
        state.page_sizes[index] = size
        return True
    if cell.pages:
        # Without pinning, memory may be overcommitted, but not by a single guest.
        smallest = min(cell.pages, key=lambda pages: pages.size_kib)
        kib = smallest.free_kib if guest.pins else smallest.total_kib
        return mib * 1024 <= kib and mib * 1024 % smallest.size_kib == 0
    return mib <= (cell.free_mib if guest.pins else cell.memory_mib)


def page_size_for(cell: HostCell, requested: int, memory_mib: int) -> int | None:
    """Return the largest page size (KiB) with which a guest cell gets its memory.

    :param requested: KiB, or `guest_topology.SMALL`, ``LARGE`` or ``ANY``
    """
    sizes = sorted((pages.size_kib for pages in cell.pages), reverse=True)
    choice = {SMALL: sizes[-1:], LARGE: sizes[:-1], ANY: sizes}.get(requested, [requested])
    by_size = {pages.size_kib: pages for pages in cell.pages}
    kib = memory_mib * 1024
    for size in choice:
        pages = by_size.get(size)
        if pages is not None and kib <= pages.free_kib and kib % size == 0:
            return size
    return None


def pin_cpus(
    cell: HostCell, count: int, policy: ThreadPolicy | None = None, extra: int = 0
) -> frozenset[int] | None:
    """Return host CPUs for ``count`` vCPUs (``_pack_instance_onto_cores``); None if it fails.

    Cores with many free threads come first, and as many threads of each core as possible.

    :param extra: additional CPUs for emulator threads
    """
    free = [core & cell.free_pinned for core in cell.siblings]
    by_threads = {
        threads: [core for core in free if len(core) >= threads]
        for threads in range(1, max(map(len, free), default=0) + 1)
    }
    whole = by_threads.get(1, [])
    if policy is ThreadPolicy.ISOLATE:
        # On a host with threads only if no CPUs are dedicated to pinning (bug 1889633).
        if cell.threads not in by_threads or (cell.threads > 1 and cell.dedicated != cell.shared):
            return None
        selected = _select_cpus(by_threads[cell.threads], 1, count, whole, extra, isolate=True)
        return selected or None
    if policy is ThreadPolicy.REQUIRE and cell.threads <= 1:
        return None
    for threads in sorted(by_threads, reverse=True):
        if policy is ThreadPolicy.REQUIRE and threads <= 1:
            continue
        selected = _select_cpus(by_threads[threads], threads, count, whole, extra)
        if selected is not None:
            return selected
    if policy is ThreadPolicy.REQUIRE:
        return None
    # Any free threads.
    singles = [frozenset((cpu,)) for core in whole for cpu in core]
    return _select_cpus(singles, 1, count, singles, extra)


def _select_cpus(
    cores: Sequence[frozenset[int]],
    threads: int,
    count: int,
    rest: Sequence[frozenset[int]],
    extra: int,
    isolate: bool = False,
) -> frozenset[int] | None:
    """Return ``count`` CPUs of ``cores``, ``threads`` of each, and ``extra`` others of ``rest``.

    :param isolate: whether the others must be on other cores
    :returns: None if there are too few
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
