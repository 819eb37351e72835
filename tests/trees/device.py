# SPDX-License-Identifier: Apache-2.0
"""Data classes for a PCI function of a synthetic server. Sizes are bytes, link speeds GT/s."""

import enum
from dataclasses import dataclass


class PortType(enum.Enum):
    """Device or port type of a PCI function in PCI Express."""

    ENDPOINT = "endpoint"
    INTEGRATED = "integrated endpoint of the root complex"
    ROOT_PORT = "root port"
    UPSTREAM = "upstream port of a switch"
    DOWNSTREAM = "downstream port of a switch"
    #: PCI Express to conventional PCI: the devices behind it are not isolated from each other.
    PCI_BRIDGE = "bridge to conventional PCI"
    CONVENTIONAL = "conventional PCI device"


@dataclass(frozen=True)
class Link:
    """A PCI Express link: its current speed and width, and the maximum of this end."""

    speed: float
    width: int
    max_speed: float
    max_width: int


@dataclass(frozen=True)
class Bar:
    """A base address register; a 64-bit one also occupies the next index."""

    index: int
    size: int
    bits: int = 64
    prefetchable: bool = True
    io: bool = False
    #: sizes that Resizable BAR offers; empty: the size is fixed
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Sriov:
    """The SR-IOV capability. ``bars`` are those of one virtual function."""

    total: int
    device: int
    bars: tuple[Bar, ...] = ()
    enabled: int = 0
    #: offset of the first VF's routing id from that of its PF
    offset: int = 2
    stride: int = 1


@dataclass(frozen=True)
class Xgmi:
    """The ids of a GPU in a hive of AMD GPUs (amdgpu_xgmi.c)."""

    hive_id: int
    device_id: int
    physical_id: int


@dataclass(frozen=True)
class Device:
    """A PCI function and, if it is a bridge, all devices behind it.

    ``address`` is domain:bus:device.function; the buses of bridges follow from their children.
    """

    address: str
    vendor: int
    device: int
    class_code: int
    kind: PortType = PortType.ENDPOINT
    subsystem: tuple[int, int] = (0, 0)
    revision: int = 0
    bars: tuple[Bar, ...] = ()
    rom: int = 0
    link: Link | None = None
    driver: str | None = None
    #: Access Control Services present and enabled
    acs: bool = False
    reset_methods: tuple[str, ...] = ()
    sriov: Sriov | None = None
    #: address of a VF's PF
    physfn: str | None = None
    #: None: that of the host bridge; -1: not set by the firmware
    numa_node: int | None = None
    d3cold_allowed: bool = True
    power_state: str = "D0"
    power_control: str = "on"
    runtime_status: str = "active"
    #: whether it has the firmware's console; only VGA devices have the file
    boot_vga: bool = False
    driver_override: str | None = None
    #: name of its slot under /sys/bus/pci/slots
    slot: str | None = None
    #: power limit of the slot below this port in watts; 0: no slot
    slot_watts: int = 0
    net: str | None = None
    infiniband: str | None = None
    nvme: str | None = None
    #: file names and contents in the hwmon directory
    hwmon: tuple[tuple[str, str], ...] = ()
    #: value of the capability Device Serial Number; 0: none
    serial: int = 0
    xgmi: Xgmi | None = None
    children: tuple["Device", ...] = ()

    @property
    def is_bridge(self) -> bool:
        """Whether it has a bus behind it."""
        return self.class_code >> 8 == 0x0604

    @property
    def is_vga(self) -> bool:
        """Whether it has the VGA class, the only one with ``boot_vga``."""
        return self.class_code >> 8 == 0x0300

    @property
    def bus(self) -> str:
        """The address of its bus: domain:bus."""
        return self.address.rpartition(":")[0]

    @property
    def routing_id(self) -> int:
        """Bus, device and function in 16 bits."""
        _, bus, rest = self.address.split(":")
        device, function = rest.split(".")
        return int(bus, 16) << 8 | int(device, 16) << 3 | int(function)

    def virtual_functions(self) -> tuple["Device", ...]:
        """Return the enabled virtual functions with their addresses."""
        if self.sriov is None:
            return ()
        functions = []
        for number in range(self.sriov.enabled):
            rid = self.routing_id + self.sriov.offset + self.sriov.stride * number
            domain = self.address.partition(":")[0]
            address = f"{domain}:{rid >> 8:02x}:{rid >> 3 & 0x1F:02x}.{rid & 7}"
            functions.append(
                Device(
                    address,
                    self.vendor,
                    self.sriov.device,
                    self.class_code,
                    subsystem=self.subsystem,
                    revision=self.revision,
                    driver=self.driver,
                    physfn=self.address,
                    reset_methods=("flr",),
                    numa_node=self.numa_node,
                )
            )
        return tuple(functions)
