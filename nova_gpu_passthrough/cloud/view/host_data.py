# SPDX-License-Identifier: Apache-2.0
"""What Nova, Placement and the fleet say of one host, before it is put together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nova_gpu_passthrough.cloud.view import devices
from nova_gpu_passthrough.cloud.view.devices import DeviceConsumer
from nova_gpu_passthrough.cloud.view.model import Server
from nova_gpu_passthrough.cloud.view.providers import ProviderTree
from nova_gpu_passthrough.fleet.model import HostGroup, Mode
from nova_gpu_passthrough.fleet.offers import DeviceKind, HostOffer, OfferedDevice


@dataclass(frozen=True)
class ComputeNode:
    """A nova-compute service and its hypervisor."""

    host: str
    #: Name of the hypervisor and of its resource provider.
    node: str
    #: UUID of the hypervisor and of its resource provider; None for a service without hypervisor.
    provider: str | None
    up: bool
    enabled: bool
    disabled_reason: str
    availability_zone: str | None
    #: What ``HostState`` of nova-scheduler has, such as ``hypervisor_type`` and ``cpu_info``.
    attributes: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass
class HostData:
    """The data of one host; servers and consumers are added when they are read."""

    name: str
    #: None where Nova does not have the host.
    compute: ComputeNode | None
    #: None where Placement does not have the host.
    tree: ProviderTree | None
    group: HostGroup | None = None
    #: The devices of its inventory that servers can have; None without an inventory.
    offer: HostOffer | None = None
    aggregates: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    servers: tuple[Server, ...] = ()
    #: Consumers of the devices in use, by UUID of the device's provider.
    consumers: Mapping[str, Sequence[DeviceConsumer]] = field(default_factory=dict)
    #: Whether the consumers were compared with Nova's servers and migrations.
    consumers_checked: bool = False

    #: False if servers were to be read, and the caller may not read them.
    servers_known: bool = True

    @property
    def cells_known(self) -> bool:
        """Whether it is known what servers use of the NUMA nodes."""
        return self.servers_known and all(server.cells_known for server in self.servers)

    @property
    def has_moving_servers(self) -> bool:
        """Whether servers that are being moved to or from the host use its devices.

        These servers use CPUs and memory of the host, too.
        """
        here = {server.id for server in self.servers}
        return self.consumers_checked and any(
            consumer.uuid not in here and not consumer.error
            for consumers in self.consumers.values()
            for consumer in consumers
        )

    @property
    def compute_host(self) -> str:
        """The name by which Nova's servers and migrations refer to the host."""
        return self.compute.host if self.compute else self.name

    @property
    def has_allocations(self) -> bool:
        """Whether anything of the host is allocated; also true if Placement does not have it."""
        if self.tree is None:
            return True
        return any(
            resource.used
            for provider in (self.tree.root, *self.tree.devices)
            for resource in provider.resources.values()
        )

    @property
    def is_passthrough(self) -> bool:
        """Whether Nova's PCI tracker is meant to manage the GPUs, and not a vGPU or MIG mode."""
        return self.group is None or self.group.mode is Mode.PASSTHROUGH

    @property
    def offered(self) -> Mapping[str, Sequence[OfferedDevice]]:
        """The devices of the inventory by the address of their resource provider."""
        if self.offer is None:
            return {}
        if self.is_passthrough:
            return devices.by_address(self.offer.devices)
        inventory = self.offer.inventory
        return devices.by_address(
            OfferedDevice(inventory.device(gpu), DeviceKind.GPU, gpu.model, gpu, gpu.switch)
            for gpu in inventory.gpus
        )
