# SPDX-License-Identifier: Apache-2.0
"""What a host offers and what a server asks for, as plain immutable data.

Devices are named tuples, not dataclasses: the scheduler builds one per free device of every host
for every request, and they are twice as fast to make and to hash.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

#: No host has more GPUs than this; a request for more is a mistake.
MAX_GPUS = 64


class Preference(enum.Enum):
    """How much a request cares about a property of the set of GPUs."""

    REQUIRED = "required"
    PREFERRED = "preferred"
    NONE = "none"


class NumaPolicy(enum.Enum):
    """Nova's PCI NUMA affinity policies (``nova/objects/fields.py``, PCINUMAAffinityPolicy)."""

    REQUIRED = "required"
    SOCKET = "socket"
    PREFERRED = "preferred"
    LEGACY = "legacy"


class Gpu(NamedTuple):
    """A free GPU: one PCI function of a card that a server can get."""

    #: PCI address, ``dddd:bb:ss.f``; for a VF the address of its PF, as in Nova's pools.
    address: str
    model: str
    #: Host NUMA node, or None where the firmware does not tell.
    numa_node: int | None = None
    #: Names of the link group and of the partitions inside it, outermost first. GPUs whose first
    #: names are equal are linked; the more names they share, the smaller the partition they fill.
    link_group: tuple[str, ...] = ()
    #: The closest PCIe upstream port that the device shares with others.
    switch: str | None = None
    #: Shared by all functions of one card.
    card: str | None = None
    #: UUID of the device's resource provider in Placement, or None outside Placement.
    provider: str | None = None
    #: Tells the VFs of one PF apart, whose own addresses Nova's pools do not have.
    ordinal: int = 0


class Device(NamedTuple):
    """A free PCI device that is no GPU: a companion function, a NIC, a disk."""

    address: str
    numa_node: int | None = None
    switch: str | None = None
    card: str | None = None
    provider: str | None = None
    ordinal: int = 0


class NumaCell(NamedTuple):
    """What a host NUMA cell has left for guests."""

    id: int
    socket: int | None
    #: CPUs that guests without pinning share (count).
    shared_cpus: int
    #: CPUs free for pinning (count).
    free_pinned_cpus: int
    memory_mib: int
    free_memory_mib: int


class GuestCell(NamedTuple):
    """What one guest NUMA cell needs."""

    shared_cpus: int
    pinned_cpus: int
    memory_mib: int


@dataclass(frozen=True, slots=True)
class Demand:
    """One PCI alias of the flavor: ``count`` devices of one kind."""

    #: Nova's request id, which also prefixes Placement's group names.
    id: str
    alias: str
    count: int
    numa_policy: NumaPolicy = NumaPolicy.LEGACY


@dataclass(frozen=True, slots=True)
class GpuRequest:
    """All that a server asks of the PCI devices of its host."""

    gpus: tuple[Demand, ...]
    #: Demands for other devices: companions, NICs, disks.
    attached: tuple[Demand, ...] = ()
    link: Preference = Preference.PREFERRED
    switch: Preference = Preference.PREFERRED
    #: ``gpu:numa``: REQUIRED keeps the GPUs on as many NUMA nodes as the guest has cells (one,
    #: where the guest has no NUMA topology), whatever Nova's own policy says.
    numa: Preference = Preference.PREFERRED
    #: Whether companion functions must come from the cards of the chosen GPUs.
    companions: bool = True
    #: Empty where the guest has no NUMA topology: then Nova gives no NUMA guarantee.
    guest_cells: tuple[GuestCell, ...] = ()

    @property
    def count(self) -> int:
        """How many GPUs the server gets."""
        return sum(demand.count for demand in self.gpus)

    def __str__(self) -> str:
        wanted = ", ".join(f"{d.alias}:{d.count}" for d in self.gpus + self.attached)
        words = [
            f"{name}={value.value}"
            for name, value in (("link", self.link), ("switch", self.switch), ("numa", self.numa))
            if value is Preference.REQUIRED
        ]
        return " ".join([wanted, *words])


class HostGpus(NamedTuple):
    """What one host offers to one request."""

    #: Free devices by demand id: GPUs for the demands in ``GpuRequest.gpus``, devices for others.
    gpus: Mapping[str, tuple[Gpu, ...]]
    attached: Mapping[str, tuple[Device, ...]] = {}
    #: Host NUMA cells; empty where the host reports none.
    cells: tuple[NumaCell, ...] = ()
    #: Cards that have free companion functions, whether or not this request asks for them.
    companion_cards: frozenset[str] = frozenset()
