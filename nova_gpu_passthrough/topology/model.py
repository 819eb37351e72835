# SPDX-License-Identifier: Apache-2.0
"""The free devices of a host and the PCI devices that a server requests, as immutable data.

Devices are named tuples, not dataclasses: the scheduler builds one per free device of every host
for every request, and named tuples are twice as fast to create and to hash.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

#: No host has more GPUs; a request for more is invalid.
MAX_GPUS = 64


class Preference(enum.Enum):
    """The importance of a property of the set of GPUs to a request."""

    REQUIRED = "required"
    PREFERRED = "preferred"
    NONE = "none"


class NumaPolicy(enum.Enum):
    """Nova's PCI NUMA affinity policies (``PCINUMAAffinityPolicy`` in nova/objects/fields.py)."""

    REQUIRED = "required"
    SOCKET = "socket"
    PREFERRED = "preferred"
    LEGACY = "legacy"


class FreeGpu(NamedTuple):
    """A free GPU of a host: one PCI function that a server can get."""

    #: PCI address, ``dddd:bb:ss.f``; for a VF the address of its PF, as in Nova's pools.
    address: str
    model: str
    #: Host NUMA node; None if the firmware does not report it.
    numa_node: int | None = None
    #: Names of the link group and of the partitions inside it, outermost first. GPUs with the same
    #: first name are linked; the more names they share, the smaller the partition that has them.
    link_group: tuple[str, ...] = ()
    #: The closest PCIe upstream port that the device shares with others.
    switch: str | None = None
    #: Shared by all functions of one card.
    card: str | None = None
    #: UUID of the device's resource provider in Placement; None without PCI in Placement.
    provider: str | None = None
    #: Distinguishes the VFs of one PF, since Nova's pools do not have the addresses of VFs.
    ordinal: int = 0


class FreeDevice(NamedTuple):
    """A free PCI device of a host that is not a GPU: a companion function, a NIC, a disk.

    The fields are those of `FreeGpu`.
    """

    address: str
    numa_node: int | None = None
    switch: str | None = None
    card: str | None = None
    provider: str | None = None
    ordinal: int = 0


class NumaCell(NamedTuple):
    """The free CPUs and memory of a host NUMA cell."""

    id: int
    socket: int | None
    #: Number of CPUs that guests without pinning share.
    shared_cpus: int
    #: Number of free CPUs for pinning.
    free_pinned_cpus: int
    memory_mib: int
    free_memory_mib: int


class GuestCell(NamedTuple):
    """The CPUs and memory that one guest NUMA cell requests."""

    shared_cpus: int
    pinned_cpus: int
    memory_mib: int


@dataclass(frozen=True, slots=True)
class PciRequest:
    """A request for ``count`` devices of one PCI alias (``InstancePCIRequest`` in Nova)."""

    #: Nova's request id, which is also the prefix of the names of Placement's request groups.
    id: str
    alias: str
    count: int
    numa_policy: NumaPolicy = NumaPolicy.LEGACY


@dataclass(frozen=True, slots=True)
class GpuRequest:
    """All PCI devices that a server requests of its host, and where they must be."""

    gpus: tuple[PciRequest, ...]
    #: Requests for other devices: companions, NICs, disks.
    attached: tuple[PciRequest, ...] = ()
    link: Preference = Preference.PREFERRED
    switch: Preference = Preference.PREFERRED
    #: ``gpu:numa``: REQUIRED keeps the GPUs on as many NUMA nodes as the guest has cells (one if
    #: the guest has no NUMA topology), independent of Nova's PCI NUMA policy.
    numa: Preference = Preference.PREFERRED
    #: Whether companion functions must come from the cards of the chosen GPUs.
    companions: bool = True
    #: Empty if the guest has no NUMA topology: then Nova guarantees no NUMA affinity.
    guest_cells: tuple[GuestCell, ...] = ()
    #: Requests of SR-IOV ports: they decide which NUMA nodes are tried first, but are no reason to
    #: refuse a host.
    ports: tuple[PciRequest, ...] = ()

    @property
    def count(self) -> int:
        """Return the number of requested GPUs."""
        return sum(pci_request.count for pci_request in self.gpus)

    def __str__(self) -> str:
        devices = ", ".join(f"{r.alias}:{r.count}" for r in self.gpus + self.attached)
        words = [
            f"{name}={value.value}"
            for name, value in (("link", self.link), ("switch", self.switch), ("numa", self.numa))
            if value is Preference.REQUIRED
        ]
        return " ".join([devices, *words])


class HostGpus(NamedTuple):
    """The free devices and NUMA cells of one host, as far as they matter to one request."""

    #: Free devices by `PciRequest.id`: those that can serve the requests in ``GpuRequest.gpus``,
    #: and those for ``GpuRequest.attached`` and ``GpuRequest.ports``.
    gpus: Mapping[str, tuple[FreeGpu, ...]]
    attached: Mapping[str, tuple[FreeDevice, ...]] = {}
    #: Host NUMA cells; empty if the host reports none.
    cells: tuple[NumaCell, ...] = ()
    #: Cards that have free companion functions, even if the request has none.
    companion_cards: frozenset[str] = frozenset()
