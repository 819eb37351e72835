# SPDX-License-Identifier: Apache-2.0
"""A host NUMA cell with all that Nova looks at when it fits a guest's cell to it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from nova_gpu_passthrough.topology.model import NumaCell


@dataclass(frozen=True, slots=True)
class Pages:
    """Memory pages of one size (``NUMAPagesTopology`` in nova/objects/numa.py)."""

    size_kib: int
    #: Numbers of pages. ``reserved`` is what ``[DEFAULT] reserved_huge_pages`` keeps.
    total: int
    used: int = 0
    reserved: int = 0

    @property
    def free_kib(self) -> int:
        """Memory in pages that no server has and the host does not keep."""
        return (self.total - self.used - self.reserved) * self.size_kib

    @property
    def total_kib(self) -> int:
        """Memory in all of them."""
        return self.total * self.size_kib


@dataclass(frozen=True, slots=True)
class HostCell:
    """One NUMA cell (``NUMACell`` in nova/objects/numa.py); only servers with NUMA cells use it."""

    id: int
    memory_mib: int
    socket: int | None = None
    #: Ids of CPUs that guests without pinning share, and the number of vCPUs on them.
    shared: frozenset[int] = frozenset()
    shared_used: int = 0
    #: Ids of CPUs for pinning, and those that are pinned.
    dedicated: frozenset[int] = frozenset()
    pinned: frozenset[int] = frozenset()
    #: Threads of each core, as far as servers may use them, shared CPUs included.
    siblings: tuple[frozenset[int], ...] = ()
    used_mib: int = 0
    #: By size; empty where the host reports none.
    pages: tuple[Pages, ...] = ()

    @property
    def free_pinned(self) -> frozenset[int]:
        """CPUs for pinning that no server has."""
        return self.dedicated - self.pinned

    @property
    def free_mib(self) -> int:
        """Memory that no server has; negative where it is overcommitted."""
        return self.memory_mib - self.used_mib

    @property
    def threads(self) -> int:
        """The most threads of a core that servers may use."""
        return max(map(len, self.siblings), default=1) or 1

    def as_numa_cell(self) -> NumaCell:
        """What `fit` sees of it.

        Where the host tells its memory pages, Nova looks at these and not at the usage.
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

    def with_use(
        self,
        memory_mib: int,
        shared: int = 0,
        pinned: Iterable[int] = (),
        page_size_kib: int | None = None,
    ) -> "HostCell":
        """What is left once a guest's cell is on it (``numa_usage_from_instance_numa``).

        :param shared: vCPUs that are not pinned
        :param pinned: host CPUs that its other vCPUs get, and those of emulator threads
        :param page_size_kib: None: the guest asks for no page size, and gets the smallest
        """
        return self._changed(1, memory_mib, shared, self.pinned.union(pinned), page_size_kib)

    def without_use(
        self,
        memory_mib: int,
        shared: int = 0,
        pinned: Iterable[int] = (),
        page_size_kib: int | None = None,
    ) -> "HostCell":
        """What was left before a guest's cell came; see `with_use`."""
        return self._changed(-1, memory_mib, shared, self.pinned.difference(pinned), page_size_kib)

    def _changed(
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
