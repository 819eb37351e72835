# SPDX-License-Identifier: Apache-2.0
"""Data classes for a synthetic GPU server.

All classes are frozen: change a machine with ``dataclasses.replace``, one of its devices with
:meth:`Machine.alter`. Sizes are bytes unless the name says MiB or KiB, link speeds GT/s.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.trees.device import Device


@dataclass(frozen=True)
class HostBridge:
    """A root bus with its NUMA node from the firmware (_PXM); -1: none."""

    domain: int
    bus: int
    node: int
    devices: tuple[Device, ...] = ()

    @property
    def name(self) -> str:
        """The name under /sys/devices."""
        return f"pci{self.domain:04x}:{self.bus:02x}"


@dataclass(frozen=True)
class Pool:
    """Huge pages of one size on one NUMA node."""

    size_kib: int
    total: int
    free: int


@dataclass(frozen=True)
class Node:
    """A NUMA node."""

    id: int
    cpus: tuple[int, ...]
    memory_mib: int
    distances: tuple[int, ...]
    pools: tuple[Pool, ...] = (Pool(2048, 0, 0), Pool(1048576, 0, 0))


@dataclass(frozen=True)
class Processor:
    """The processors, all identical. ``vendor`` is intel, amd or arm; bits are address bits."""

    vendor: str
    model_name: str
    physical_bits: int
    virtual_bits: int
    sockets: int
    cores_per_socket: int
    threads_per_core: int = 2


@dataclass(frozen=True)
class Os:
    """/etc/os-release."""

    id: str
    version_id: str
    pretty_name: str
    id_like: str = ""


UBUNTU = Os("ubuntu", "24.04", "Ubuntu 24.04.3 LTS", "debian")
ROCKY = Os("rocky", "9.5", "Rocky Linux 9.5 (Blue Onyx)", "rhel centos fedora")

#: /sys/class/dmi/id/chassis_type of a rack mount chassis (SMBIOS 7.4.1)
RACK_MOUNT = "23"


@dataclass(frozen=True)
class Machine:
    """A server. ``iommu`` is the IOMMU driver in use: dmar, ivhd, smmu3 or None."""

    name: str
    processor: Processor
    nodes: tuple[Node, ...]
    host_bridges: tuple[HostBridge, ...]
    kernel: str = "6.8.0-60-generic"
    command_line: str = ""
    iommu: str | None = None
    #: type of every group: DMA, DMA-FQ or identity
    iommu_group_type: str = "identity"
    #: table in the firmware: DMAR, IVRS, IORT or None (disabled in its setup)
    iommu_table: str | None = None
    interrupt_remapping: bool = True
    #: None: booted without EFI
    secure_boot: bool | None = False
    #: none, integrity or confidentiality; "" if the kernel has no lockdown
    lockdown: str = "none"
    os: Os = UBUNTU
    #: loaded modules
    modules: tuple[str, ...] = ()
    #: modules in /lib/modules
    installed_modules: tuple[str, ...] = ()
    #: file names and contents below /sys/class/dmi/id
    dmi: tuple[tuple[str, str], ...] = ()
    #: id (as "10de", "10de:2330") and name in pci.ids
    names: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def locations(self) -> Iterator["PciLocation"]:
        """Return every PCI function, including VFs, in the kernel's order."""
        for bridge in self.host_bridges:
            yield from _walk(bridge, (), bridge.devices)

    def devices(self) -> dict[str, Device]:
        """Return every PCI function by address."""
        return {location.device.address: location.device for location in self.locations()}

    def location(self, address: str) -> "PciLocation":
        """Return the location of a function.

        :raises KeyError: if there is no function with this address
        """
        for location in self.locations():
            if location.device.address == address:
                return location
        raise KeyError(f"{self.name} has no PCI function {address}.")

    def gpus(self) -> list[Device]:
        """Return the accelerators in the order of their addresses, without the BMC's graphics."""
        return sorted(
            (
                device
                for device in self.devices().values()
                if device.class_code >> 8 in (0x0300, 0x0302, 0x0380, 0x1200)
                and device.vendor != 0x1A03
                and device.physfn is None
            ),
            key=lambda device: device.address,
        )

    def alter(self, *addresses: str, **changes: Any) -> "Machine":
        """Return the machine with changes to some of its functions.

        :param changes: fields of :class:`Device`
        :raises KeyError: if an address is not a physical function of the machine
        """
        known = {
            location.device.address for location in self.locations() if not location.device.physfn
        }
        missing = sorted(set(addresses) - known)
        if missing:
            raise KeyError(f"{self.name} has no physical PCI function {', '.join(missing)}.")
        bridges = tuple(
            dataclasses.replace(bridge, devices=_altered(bridge.devices, set(addresses), changes))
            for bridge in self.host_bridges
        )
        return dataclasses.replace(self, host_bridges=bridges)


@dataclass(frozen=True)
class PciLocation:
    """A function with the bridges above it (nearest first) and the devices on its bus."""

    device: Device
    bridge: HostBridge
    parents: tuple[Device, ...]
    siblings: tuple[Device, ...]

    @property
    def numa_node(self) -> int:
        """The content of ``numa_node``: devices inherit it from the bridges above."""
        for device in (self.device, *self.parents):
            if device.numa_node is not None:
                return device.numa_node
        return self.bridge.node

    @property
    def path(self) -> str:
        """The path below the root directory: sys/devices/pci0000:15/0000:15:01.0/..."""
        names = [device.address for device in (*reversed(self.parents), self.device)]
        return "/".join(("sys/devices", self.bridge.name, *names))


def _walk(
    bridge: HostBridge, parents: tuple[Device, ...], devices: tuple[Device, ...]
) -> Iterator[PciLocation]:
    for device in devices:
        yield PciLocation(device, bridge, parents, devices)
        for virtual in device.virtual_functions():
            yield PciLocation(virtual, bridge, parents, devices)
        yield from _walk(bridge, (device, *parents), device.children)


def _altered(
    devices: tuple[Device, ...], addresses: set[str], changes: dict[str, Any]
) -> tuple[Device, ...]:
    changed = []
    for device in devices:
        device = dataclasses.replace(device, children=_altered(device.children, addresses, changes))
        if device.address in addresses:
            device = dataclasses.replace(device, **changes)
        changed.append(device)
    return tuple(changed)
