# SPDX-License-Identifier: Apache-2.0
"""The cloud's GPU hosts as plain immutable data, whatever they were read from."""

import enum
import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from nova_gpu_passthrough.nova_rules.host_cell import HostCell
from nova_gpu_passthrough.topology.model import NumaCell


class DeviceState(enum.StrEnum):
    """What can be done with a device now."""

    FREE = "free"
    #: Allocated to a server that is on its host, or on the way to or from it.
    IN_USE = "in use"
    #: Held back in Placement (reserved): by hand, or a one-time-use device not yet cleaned.
    RESERVED = "reserved"
    #: Allocated to a server that does not exist or is elsewhere and not moving.
    STUCK = "stuck"
    #: In the fleet's inventories and not in Placement.
    MISSING = "missing"


@dataclass(frozen=True)
class Resource:
    """One inventory of a resource provider, with its usage, in the class's unit."""

    total: int
    reserved: int = 0
    used: int = 0
    allocation_ratio: float = 1.0
    max_unit: int = 2**31 - 1

    @property
    def capacity(self) -> int:
        """How much can be allocated in all (``Inventory.capacity`` in Placement)."""
        return int((self.total - self.reserved) * self.allocation_ratio)

    @property
    def free(self) -> int:
        """How much can still be allocated; never negative."""
        return max(0, self.capacity - self.used)


@dataclass(frozen=True)
class Device:
    """A PCI device, or the VFs of one PF, as one resource provider."""

    host: str
    #: As Nova writes it, such as ``0000:1b:00.0``.
    address: str
    resource_class: str
    #: The GPU's model; None for a device that is no GPU.
    model: str | None
    state: DeviceState
    numa_node: int | None = None
    link_group: tuple[str, ...] = ()
    switch: str | None = None
    card: str | None = None
    #: UUID in Placement; None for a missing device.
    provider: str | None = None
    traits: frozenset[str] = frozenset()
    resource: Resource = Resource(1)
    #: UUIDs of the servers (or whatever consumers) that hold it.
    consumers: tuple[str, ...] = ()
    #: Why it is reserved, stuck or missing, with what to do; else empty.
    note: str = ""


@dataclass(frozen=True)
class CellUse:
    """What one guest NUMA cell of a server takes of a host NUMA node."""

    node: int
    memory_mib: int
    #: vCPUs in the cell (count).
    vcpus: int
    #: Host CPUs that are pinned; empty for shared vCPUs.
    pinned: frozenset[int] = frozenset()
    #: None: the guest asks for no page size.
    page_size_kib: int | None = None


@dataclass(frozen=True)
class Server:
    """A server on a host, or in error on none."""

    id: str
    name: str
    status: str
    project_id: str
    host: str | None
    flavor: str
    vcpus: int
    ram_mib: int
    extra_specs: Mapping[str, str] = field(default_factory=dict)
    #: Empty for a guest without NUMA topology, or where it was not asked for.
    cells: tuple[CellUse, ...] = ()
    task_state: str | None = None
    #: None for a server whose disk is a volume: Nova does not tell.
    image_properties: Mapping[str, str] | None = field(default_factory=dict)


@dataclass(frozen=True)
class CloudFlavor:
    """A flavor of the cloud."""

    id: str
    name: str
    vcpus: int
    ram_mib: int
    disk_gib: int
    public: bool
    extra_specs: Mapping[str, str]
    #: Ids of projects with access; None for a public one.
    projects: tuple[str, ...] | None = None
    ephemeral_gib: int = 0
    swap_mib: int = 0


@dataclass(frozen=True)
class Host:
    """A compute node with GPUs, or one that the fleet file names."""

    name: str
    #: UUID of its root provider; None where Placement does not know it.
    provider: str | None
    #: Whether nova-compute is up, and enabled.
    up: bool
    enabled: bool
    disabled_reason: str = ""
    #: The fleet file's host group.
    group: str | None = None
    availability_zone: str | None = None
    #: Aggregate metadata by aggregate name.
    aggregates: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    traits: frozenset[str] = frozenset()
    #: Of the root provider: VCPU, PCPU, MEMORY_MB, DISK_GB.
    resources: Mapping[str, Resource] = field(default_factory=dict)
    #: What its NUMA nodes have for guests; empty where no inventory tells.
    cells: tuple[NumaCell, ...] = ()
    #: Ids of CPUs for pinning that are free, by NUMA node, and threads of each core.
    free_pinned: Mapping[int, frozenset[int]] = field(default_factory=dict)
    cores: tuple[frozenset[int], ...] = ()
    #: The same NUMA nodes with all that Nova fits a guest by: the CPUs and memory pages that the
    #: node has for servers, less what ``servers`` have of it (`CellUse`); empty where no inventory
    #: tells.
    numa: tuple[HostCell, ...] = ()
    devices: tuple[Device, ...] = ()
    servers: tuple[Server, ...] = ()
    #: Whether Nova has a compute node of that name.
    known: bool = True

    @functools.cached_property
    def gpus(self) -> tuple[Device, ...]:
        """Its GPUs, those that are missing included."""
        return tuple(device for device in self.devices if device.model is not None)


@dataclass(frozen=True)
class CloudView:
    """All GPU hosts of a cloud at one moment."""

    #: ISO 8601 in UTC.
    taken_at: str
    hosts: tuple[Host, ...]
    flavors: tuple[CloudFlavor, ...] = ()
    #: Servers that are on none of the hosts: in error, or without a host yet.
    homeless: tuple[Server, ...] = ()
    #: What could not be read or is not sure, one sentence each.
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tally:
    """Numbers of devices; ``total`` is the sum of the others."""

    total: int = 0
    free: int = 0
    in_use: int = 0
    reserved: int = 0
    stuck: int = 0
    missing: int = 0


def count(devices: Iterable[Device]) -> Tally:
    """Count devices of any kind."""
    free = in_use = reserved = stuck = missing = 0
    for device in devices:
        resource = device.resource
        if device.state is DeviceState.MISSING:
            missing += resource.total
            continue
        free += resource.free
        # A one-time-use device is reserved while it is in use, too.
        reserved += max(0, resource.total - resource.used - resource.free)
        if device.state is DeviceState.STUCK:
            stuck += resource.used
        else:
            in_use += resource.used
    total = free + in_use + reserved + stuck + missing
    return Tally(total, free, in_use, reserved, stuck, missing)


def free_by_node(devices: Iterable[Device]) -> dict[int | None, int]:
    """Free devices by NUMA node, nodes without a free one included; None: not told."""
    found: dict[int | None, int] = {}
    for device in devices:
        free = 0 if device.state is DeviceState.MISSING else device.resource.free
        found[device.numa_node] = found.get(device.numa_node, 0) + free
    return dict(sorted(found.items(), key=lambda item: (item[0] is None, item[0] or 0)))
