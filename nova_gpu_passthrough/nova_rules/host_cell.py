# SPDX-License-Identifier: Apache-2.0
"""A host NUMA cell with everything that Nova considers when it fits a guest's cell to it.

Restates ``NUMACell`` and ``NUMAPagesTopology`` in nova/objects/numa.py, and
``numa_usage_from_instance_numa`` in nova/virt/hardware.py.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from nova_gpu_passthrough.topology.model import NumaCell


@dataclass(frozen=True, slots=True)
class MemoryPages:
    """The memory pages of one size (``NUMAPagesTopology``)."""

    size_kib: int
    #: Numbers of pages; ``reserved`` is set by ``[DEFAULT] reserved_huge_pages``.
    total: int
    used: int = 0
    reserved: int = 0

    @property
    def free_kib(self) -> int:
        """Return the memory in pages that are neither used nor reserved."""
        return (self.total - self.used - self.reserved) * self.size_kib

    @property
    def total_kib(self) -> int:
        """Return the memory in all pages."""
        return self.total * self.size_kib


@dataclass(frozen=True, slots=True)
class HostCell:
    """A host NUMA cell (``NUMACell``) with the usage of the servers that have NUMA cells."""

    id: int
    memory_mib: int
    socket: int | None = None
    #: Ids of the CPUs that guests without pinning share, and the number of vCPUs on them.
    shared: frozenset[int] = frozenset()
    shared_used: int = 0
    #: Ids of the CPUs for pinning, and of those that are pinned.
    dedicated: frozenset[int] = frozenset()
    pinned: frozenset[int] = frozenset()
    #: The threads of each core that servers may use, including shared CPUs.
    siblings: tuple[frozenset[int], ...] = ()
    used_mib: int = 0
    #: One entry for each page size; empty if the host reports none.
    pages: tuple[MemoryPages, ...] = ()

    @property
    def free_pinned(self) -> frozenset[int]:
        """Return the CPUs for pinning that no server has."""
        return self.dedicated - self.pinned

    @property
    def free_mib(self) -> int:
        """Return the memory that no server has; negative if it is overcommitted."""
        return self.memory_mib - self.used_mib

    @property
    def threads(self) -> int:
        """Return the largest number of threads of a core that servers may use."""
        return max(map(len, self.siblings), default=1) or 1

    def as_numa_cell(self) -> NumaCell:
        """Return the free CPUs and memory for `topology.fit.fit`.

        If the host reports memory pages, Nova considers these instead of the memory usage.
        """
        free = self.free_mib
        if self.pages:
            free = max(pages.free_kib for pages in self.pages) // 1024
        return NumaCell(
            self.id,
            self.socket,
            len(self.shared),
            len(self.free_pinned),
            self.memory_mib,
            free,
        )

    def consume(
        self,
        memory_mib: int,
        shared: int = 0,
        pinned: Iterable[int] = (),
        page_size_kib: int | None = None,
    ) -> "HostCell":
        """Return the cell with a guest's cell added (``numa_usage_from_instance_numa``).

        :param shared: vCPUs that are not pinned
        :param pinned: host CPUs of the other vCPUs and of emulator threads
        :param page_size_kib: None: the guest requests no page size and gets the smallest
        """
        return self._with_usage(1, memory_mib, shared, self.pinned.union(pinned), page_size_kib)

    def release(
        self,
        memory_mib: int,
        shared: int = 0,
        pinned: Iterable[int] = (),
        page_size_kib: int | None = None,
    ) -> "HostCell":
        """Return the cell with a guest's cell removed; the reverse of `consume`."""
        return self._with_usage(
            -1, memory_mib, shared, self.pinned.difference(pinned), page_size_kib
        )

    def _with_usage(
        self,
        sign: int,
        memory_mib: int,
        shared: int,
        pinned: frozenset[int],
        page_size_kib: int | None,
    ) -> "HostCell":
        size = page_size_kib or min((pages.size_kib for pages in self.pages), default=0)
        return replace(
            self,
            pinned=pinned,
            shared_used=max(0, self.shared_used + sign * shared),
            used_mib=max(0, self.used_mib + sign * memory_mib),
            pages=tuple(
                replace(pages, used=max(0, pages.used + sign * memory_mib * 1024 // size))
                if pages.size_kib == size
                else pages
                for pages in self.pages
            ),
        )
