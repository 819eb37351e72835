# SPDX-License-Identifier: Apache-2.0
"""The free capacity of a host and the demand of a server, as Placement and Nova see them.

Combines Placement's inventories and traits, the host's NUMA cells and the pools of PCI devices of
nova-compute (`nova.pci.stats`). `server_fit` decides with them whether a server fits.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from nova_gpu_passthrough.nova_rules.guest_fit import AllocationRatios
from nova_gpu_passthrough.nova_rules.guest_topology import GuestTopology
from nova_gpu_passthrough.nova_rules.host_cell import HostCell
from nova_gpu_passthrough.topology.model import (
    MAX_GPUS,
    FreeDevice,
    FreeGpu,
    GpuRequest,
    HostGpus,
    PciRequest,
)


class Amount(NamedTuple):
    """The capacity and usage of one resource class of a host in Placement."""

    #: As in Placement: (total - reserved) * allocation_ratio.
    capacity: int
    used: int = 0
    #: The most that one server can allocate.
    max_unit: int = 2**31 - 1
    allocation_ratio: float = 1.0

    @property
    def free(self) -> int:
        """Return what can still be allocated."""
        return max(0, self.capacity - self.used)


class DeviceClass(NamedTuple):
    """The resource class and traits by which a PCI alias selects devices."""

    resource_class: str
    required: frozenset[str] = frozenset()
    forbidden: frozenset[str] = frozenset()


class DeviceCapacity(NamedTuple):
    """The free units of a PCI device, or of the VFs of one PF: one resource provider."""

    resource_class: str
    #: The first unit, with the ordinal 0.
    device: FreeGpu | FreeDevice
    traits: frozenset[str] = frozenset()
    #: Units that are neither in use nor reserved.
    free: int = 1
    #: Units that are reserved in Placement; Nova's pools still have them.
    reserved: int = 0
    #: Units that servers have now; `HostCapacity.consume` does not change it.
    in_use: int = 0
    #: Units allocated to a server that is not there.
    stuck: int = 0

    @property
    def pooled(self) -> int:
        """Return how many units are free in Nova's pools."""
        return self.free + self.reserved

    def matches(self, device_class: DeviceClass) -> bool:
        """Check whether an alias selects the device."""
        return (
            self.resource_class == device_class.resource_class
            and device_class.required <= self.traits
            and not device_class.forbidden & self.traits
        )

    def free_gpus(self) -> Iterator[FreeGpu]:
        """Yield the free units of a GPU; nothing for other devices."""
        if isinstance(self.device, FreeGpu):
            for ordinal in range(min(self.free, MAX_GPUS)):
                yield self.device._replace(ordinal=ordinal)

    def free_units(self, pooled: bool = False) -> Iterator[FreeDevice]:
        """Yield the free units as plain devices.

        :param pooled: yield also the reserved units, which are free in Nova's pools
        """
        device = self.device
        for ordinal in range(min(self.pooled if pooled else self.free, MAX_GPUS)):
            yield FreeDevice(
                device.address,
                device.numa_node,
                device.switch,
                device.card,
                device.provider,
                ordinal,
            )


class PlacementQuery(NamedTuple):
    """The request to Placement for the root provider of a host."""

    #: Pairs of resource class and amount, without zero amounts.
    resources: tuple[tuple[str, int], ...] = ()
    required: frozenset[str] = frozenset()
    forbidden: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ServerDemand:
    """Everything that a server requests of its host."""

    request: GpuRequest
    guest: GuestTopology
    #: Pairs of `PciRequest.id` and device class, in the order of the flavor's aliases.
    device_classes: tuple[tuple[str, DeviceClass], ...] = ()
    query: PlacementQuery = PlacementQuery()
    #: For pinned CPUs, Nova sends a second request with VCPU and lets the filters decide
    #: (``select_destinations`` in nova/scheduler/manager.py). None: there is no second request.
    fallback: PlacementQuery | None = None

    @property
    def pci_requests(self) -> tuple[tuple[PciRequest, DeviceClass], ...]:
        """Return each PCI request with its device class, in the order of the flavor's aliases."""
        by_id = {request.id: request for request in self.request.gpus + self.request.attached}
        return tuple((by_id[id_], device_class) for id_, device_class in self.device_classes)


@dataclass(frozen=True)
class HostCapacity:
    """The free capacity of a host; without its name, so that equal hosts have equal capacities."""

    resources: tuple[tuple[str, Amount], ...] = ()
    cells: tuple[HostCell, ...] = ()
    #: In the order of addresses.
    devices: tuple[DeviceCapacity, ...] = ()
    traits: frozenset[str] = frozenset()

    @property
    def amounts(self) -> Mapping[str, Amount]:
        """Return the amounts by resource class."""
        return dict(self.resources)

    @property
    def ratios(self) -> AllocationRatios:
        """Return the allocation ratios, which apply to shared CPUs and their memory."""
        amounts, nothing = self.amounts, Amount(0)
        return AllocationRatios(
            amounts.get("VCPU", nothing).allocation_ratio,
            amounts.get("MEMORY_MB", nothing).allocation_ratio,
        )

    def devices_of(self, device_class: DeviceClass) -> tuple[DeviceCapacity, ...]:
        """Return the devices that an alias selects, free or not."""
        return tuple(device for device in self.devices if device.matches(device_class))

    def host_gpus(self, demand: ServerDemand) -> HostGpus:
        """Return the free devices and NUMA cells for `topology.fit.fit`."""
        classes = dict(demand.device_classes)
        return HostGpus(
            {
                request.id: tuple(
                    gpu
                    for device in self.devices_of(classes[request.id])
                    for gpu in device.free_gpus()
                )
                for request in demand.request.gpus
            },
            {
                request.id: tuple(
                    unit
                    for device in self.devices_of(classes[request.id])
                    for unit in device.free_units()
                )
                for request in demand.request.attached
            },
            tuple(cell.as_numa_cell() for cell in self.cells) if demand.guest.cells else (),
            frozenset(
                d.device.card
                for d in self.devices
                if d.device.card is not None and d.pooled and not isinstance(d.device, FreeGpu)
            ),
        )

    def free_devices_by_node(self) -> Mapping[int | None, int]:
        """Return the number of free PCI devices by NUMA node, as Nova's pools count them."""
        counts: Counter[int | None] = Counter()
        for device in self.devices:
            counts[device.device.numa_node] += device.pooled
        return counts

    def consume(
        self,
        resources: Iterable[tuple[str, int]],
        devices: Iterable[FreeGpu | FreeDevice],
        cells: tuple[HostCell, ...],
    ) -> "HostCapacity":
        """Return the capacity that remains after a server got these resources and devices.

        Messages then still count the devices that are in use now.

        :param cells: the host's NUMA cells with the server
        """
        amounts = dict(self.resources)
        for name, amount in resources:
            amounts[name] = amounts[name]._replace(used=amounts[name].used + amount)
        taken = Counter((device.address, device.provider) for device in devices)
        remaining = []
        for device in self.devices:
            count = taken[device.device.address, device.device.provider]
            remaining.append(device._replace(free=device.free - count) if count else device)
        return replace(
            self, resources=tuple(amounts.items()), cells=cells, devices=tuple(remaining)
        )
