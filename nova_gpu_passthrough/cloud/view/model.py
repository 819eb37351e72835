# SPDX-License-Identifier: Apache-2.0
"""The cloud's GPU hosts as immutable data, independent of how they were read."""

import enum
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nova_gpu_passthrough.fleet import isolation
from nova_gpu_passthrough.nova_rules.host_cell import HostCell

#: Statuses of servers that keep their devices although no guest runs, or it may not.
_IDLE = frozenset(("ERROR", "PAUSED", "SHELVED", "SHUTOFF", "SOFT_DELETED", "SUSPENDED"))


class DeviceState(enum.StrEnum):
    """The current state of a device."""

    FREE = "free"
    #: Allocated to a server that is on its host, or is being moved to or from it.
    IN_USE = "in-use"
    #: Reserved in Placement: by an operator, or because a one-time-use device is not yet cleaned.
    RESERVED = "reserved"
    #: Allocated to a server that does not exist, or is on another host and not being moved.
    STUCK = "stuck"
    #: In the fleet's inventories, and not a device of Nova in Placement.
    MISSING = "missing"


@dataclass(frozen=True)
class Resource:
    """One inventory of a resource provider with its usage, in units of the resource class."""

    total: int
    reserved: int = 0
    used: int = 0
    allocation_ratio: float = 1.0
    max_unit: int = 2**31 - 1

    @property
    def capacity(self) -> int:
        """The amount that can be allocated altogether (``Inventory.capacity`` in Placement)."""
        return int((self.total - self.reserved) * self.allocation_ratio)

    @property
    def free(self) -> int:
        """The amount that can still be allocated; never negative."""
        return max(0, self.capacity - self.used)


@dataclass(frozen=True)
class CloudDevice:
    """A PCI device, or all VFs of one PF, as one resource provider."""

    host: str
    #: As Nova writes it, such as ``0000:1b:00.0``.
    address: str
    resource_class: str
    #: The GPU model; None for a device that is not a GPU.
    model: str | None
    state: DeviceState
    numa_node: int | None = None
    link_group: tuple[str, ...] = ()
    switch: str | None = None
    card: str | None = None
    #: Serial number of the card, or its hash.
    serial: str | None = None
    #: UUID in Placement; None for a device that Placement does not have.
    provider: str | None = None
    traits: frozenset[str] = frozenset()
    #: Traits that nova-compute sets on every device, and this one does not have.
    lacking_traits: frozenset[str] = frozenset()
    resource: Resource = Resource(1)
    #: UUIDs of the consumers in Placement: servers or migrations.
    consumers: tuple[str, ...] = ()
    #: Why it is reserved, stuck or missing, and how to fix that; otherwise empty.
    note: str = ""


@dataclass(frozen=True)
class CellUse:
    """The resources that one guest NUMA cell of a server uses on a host NUMA node."""

    node: int
    memory_mib: int
    #: Number of vCPUs in the cell.
    vcpus: int
    #: Pinned host CPUs; empty for shared vCPUs.
    pinned: frozenset[int] = frozenset()
    #: None: the guest requests no page size.
    page_size_kib: int | None = None


@dataclass(frozen=True)
class Server:
    """A server, on a host or without one."""

    id: str
    name: str
    status: str
    project_id: str
    host: str | None
    flavor: str
    vcpus: int
    ram_mib: int
    extra_specs: Mapping[str, str] = field(default_factory=dict)
    #: Empty for a guest without NUMA topology, or where the topology was not read.
    cells: tuple[CellUse, ...] = ()
    task_state: str | None = None
    #: False if the caller may not read ``cells``.
    cells_known: bool = True
    #: None for a server that boots from a volume: Nova does not report them.
    image_properties: Mapping[str, str] | None = field(default_factory=dict)
    user_id: str = ""
    #: ISO 8601 in UTC; empty for a server in a Nova cell that cannot be reached.
    created: str = ""
    #: When Nova last changed its record of the server: it has had its status at least since then,
    #: and possibly longer, because other changes also count.
    updated: str = ""
    #: Why it is in error.
    fault: str = ""

    @property
    def is_idle(self) -> bool:
        """Whether it probably does not use its GPUs, because its guest does not run."""
        return self.status in _IDLE


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
    #: Ids of the projects with access; None for a public flavor.
    projects: tuple[str, ...] | None = None
    ephemeral_gib: int = 0
    swap_mib: int = 0


@dataclass(frozen=True)
class CloudHost:
    """A compute node that has GPUs or is named by the fleet file."""

    name: str
    #: UUID of its root provider; None where Placement does not have one.
    provider: str | None
    #: Whether nova-compute is up.
    up: bool
    #: Whether nova-compute is enabled.
    enabled: bool
    disabled_reason: str = ""
    #: The fleet file's host group.
    group: str | None = None
    availability_zone: str | None = None
    #: Metadata by aggregate name.
    aggregates: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    traits: frozenset[str] = frozenset()
    #: Resources of the root provider: VCPU, PCPU, MEMORY_MB, DISK_GB.
    resources: Mapping[str, Resource] = field(default_factory=dict)
    #: NUMA nodes with the CPUs and memory pages for guests, minus what ``servers`` use
    #: (`CellUse`); empty without an inventory of the host.
    numa: tuple[HostCell, ...] = ()
    devices: tuple[CloudDevice, ...] = ()
    servers: tuple[Server, ...] = ()
    #: Whether Nova has a compute node of that name.
    known: bool = True
    #: Names of its failure domains by level, such as ``{"rack": "r12"}``, by the fleet file.
    domains: Mapping[str, str] = field(default_factory=dict)
    #: False if the caller may not read what servers use of its NUMA nodes; then ``numa`` is empty.
    cells_known: bool = True
    #: The name by which Nova's services and servers refer to it.
    compute_host: str = ""
    #: What nova-scheduler knows of it and Nova's API shows, such as ``hypervisor_type``.
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def takes_servers(self) -> bool:
        """Whether nova-scheduler may choose it: it is up, enabled and known to Placement."""
        return self.known and self.up and self.enabled and self.provider is not None

    @functools.cached_property
    def reserved_for(self) -> frozenset[str] | None:
        """Ids of the projects that alone may use it, by its aggregates; None: every project may."""
        reserved = [isolation.project_ids(metadata) for metadata in self.aggregates.values()]
        named = [ids for ids in reserved if ids is not None]
        return frozenset().union(*named) if named else None

    @functools.cached_property
    def gpus(self) -> tuple[CloudDevice, ...]:
        """Its GPUs, missing ones included."""
        return tuple(device for device in self.devices if device.model is not None)


@dataclass(frozen=True)
class CloudView:
    """All GPU hosts of a cloud at one moment."""

    #: ISO 8601 in UTC.
    taken_at: str
    hosts: tuple[CloudHost, ...]
    flavors: tuple[CloudFlavor, ...] = ()
    #: Servers that are on no host: in error, or still being scheduled.
    servers_without_host: tuple[Server, ...] = ()
    #: Uncertainties: what could not be read or may be wrong, one sentence each.
    notes: tuple[str, ...] = ()
    #: Metadata of all aggregates of the cloud by name.
    aggregates: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @functools.cached_property
    def servers(self) -> Mapping[str, Server]:
        """All servers by id, on GPU hosts and without host."""
        on_hosts = (server for host in self.hosts for server in host.servers)
        return {server.id: server for server in (*self.servers_without_host, *on_hosts)}

    @functools.cached_property
    def device_servers(self) -> tuple[Server, ...]:
        """The servers that have devices."""
        consumers = {key for host in self.hosts for one in host.devices for key in one.consumers}
        return tuple(server for key, server in self.servers.items() if key in consumers)
