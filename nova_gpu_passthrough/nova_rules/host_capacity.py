# SPDX-License-Identifier: Apache-2.0
"""What a host has left, and what a server needs, in the words of Placement and Nova together."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from nova_gpu_passthrough.nova_rules.guest_fit import Ratios
from nova_gpu_passthrough.nova_rules.guest_topology import Guest
from nova_gpu_passthrough.nova_rules.host_cell import HostCell
from nova_gpu_passthrough.topology.model import (
    MAX_GPUS,
    Demand,
    Device,
    Gpu,
    GpuRequest,
    HostGpus,
)


class Amount(NamedTuple):
    """One resource class of a host in Placement."""

    #: What can be allocated in all, and what is.
    capacity: int
    used: int = 0
    #: The most that one server can have.
    max_unit: int = 2**31 - 1
    allocation_ratio: float = 1.0

    @property
    def free(self) -> int:
        """What can still be allocated."""
        return max(0, self.capacity - self.used)


class Kind(NamedTuple):
    """What Placement and the pools find an alias's devices by."""

    resource_class: str
    required: frozenset[str] = frozenset()
    forbidden: frozenset[str] = frozenset()


class RoomDevice(NamedTuple):
    """A PCI device, or the VFs of one PF."""

    resource_class: str
    #: As one free unit; its ordinal is 0.
    device: Gpu | Device
    traits: frozenset[str] = frozenset()
    #: How many of its units nobody holds.
    free: int = 1
    #: How many are held back in Placement; Nova's pools have these, too.
    reserved: int = 0
    in_use: int = 0

    @property
    def pooled(self) -> int:
        """How many of its units are free in Nova's pools."""
        return self.free + self.reserved

    def is_of(self, kind: Kind) -> bool:
        """Whether it serves an alias."""
        return (
            self.resource_class == kind.resource_class
            and kind.required <= self.traits
            and not kind.forbidden & self.traits
        )

    def gpus(self) -> Iterator[Gpu]:
        """Its free units; none if it is no GPU."""
        if isinstance(self.device, Gpu):
            for ordinal in range(min(self.free, MAX_GPUS)):
                yield self.device._replace(ordinal=ordinal)

    def units(self, pooled: bool = False) -> Iterator[Device]:
        """Its free units, whatever it is.

        :param pooled: those that are free in Nova's pools, which must not be free in Placement
        """
        one = self.device
        for ordinal in range(min(self.pooled if pooled else self.free, MAX_GPUS)):
            yield Device(one.address, one.numa_node, one.switch, one.card, one.provider, ordinal)


class Query(NamedTuple):
    """What Placement is asked of a host's root provider."""

    #: Amounts by resource class, without zeros.
    resources: tuple[tuple[str, int], ...] = ()
    required: frozenset[str] = frozenset()
    forbidden: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Needs:
    """What a server needs of its host."""

    request: GpuRequest
    guest: Guest
    #: What the request's demands are for, by their ids, in the order of the flavor's aliases.
    kinds: tuple[tuple[str, Kind], ...] = ()
    query: Query = Query()
    #: For pinned CPUs Nova asks again with VCPU, and lets the filters decide
    #: (``select_destinations`` in nova/scheduler/manager.py). None: it asks once.
    fallback: Query | None = None

    @property
    def demands(self) -> tuple[tuple[Demand, Kind], ...]:
        """Each demand with its kind, in the order of the flavor's aliases."""
        by_id = {demand.id: demand for demand in self.request.gpus + self.request.attached}
        return tuple((by_id[name], kind) for name, kind in self.kinds)


@dataclass(frozen=True)
class Room:
    """What a host has left. Equal rooms take the same servers, whatever their hosts' names."""

    resources: tuple[tuple[str, Amount], ...] = ()
    cells: tuple[HostCell, ...] = ()
    #: In the order of their addresses.
    devices: tuple[RoomDevice, ...] = ()
    traits: frozenset[str] = frozenset()

    @property
    def amounts(self) -> Mapping[str, Amount]:
        """Resources by class."""
        return dict(self.resources)

    @property
    def ratios(self) -> Ratios:
        """Allocation ratios for CPUs and memory that are shared."""
        amounts, nothing = self.amounts, Amount(0)
        return Ratios(
            amounts.get("VCPU", nothing).allocation_ratio,
            amounts.get("MEMORY_MB", nothing).allocation_ratio,
        )

    def of(self, kind: Kind) -> tuple[RoomDevice, ...]:
        """Devices that serve an alias, free or not."""
        return tuple(device for device in self.devices if device.is_of(kind))

    def offers(self, needs: Needs) -> HostGpus:
        """What `fit` sees of the host for a server."""
        kinds = dict(needs.kinds)
        return HostGpus(
            {
                demand.id: tuple(gpu for d in self.of(kinds[demand.id]) for gpu in d.gpus())
                for demand in needs.request.gpus
            },
            {
                demand.id: tuple(unit for d in self.of(kinds[demand.id]) for unit in d.units())
                for demand in needs.request.attached
            },
            tuple(cell.as_numa_cell() for cell in self.cells) if needs.guest.cells else (),
            frozenset(
                d.device.card
                for d in self.devices
                if d.device.card is not None and d.pooled and not isinstance(d.device, Gpu)
            ),
        )

    def devices_by_node(self) -> Mapping[int | None, int]:
        """Free PCI devices of any kind by NUMA node, as Nova's pools count them."""
        counts: Counter[int | None] = Counter()
        for device in self.devices:
            counts[device.device.numa_node] += device.pooled
        return counts

    def without(
        self,
        resources: Iterable[tuple[str, int]],
        devices: Iterable[Gpu | Device],
        cells: tuple[HostCell, ...],
    ) -> "Room":
        """What is left once a server has these resources and devices.

        :param cells: what it leaves of the host's cells
        """
        amounts = dict(self.resources)
        for name, amount in resources:
            amounts[name] = amounts[name]._replace(used=amounts[name].used + amount)
        taken = Counter((device.address, device.provider) for device in devices)
        left = []
        for device in self.devices:
            count = taken[device.device.address, device.device.provider]
            left.append(
                device._replace(free=device.free - count, in_use=device.in_use + count)
                if count
                else device
            )
        return replace(self, resources=tuple(amounts.items()), cells=cells, devices=tuple(left))
