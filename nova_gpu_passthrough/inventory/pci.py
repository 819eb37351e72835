# SPDX-License-Identifier: Apache-2.0
"""PCI functions of a host as the kernel reports them.

None always means unknown: a file that does not exist in this kernel or recording, or that the user
may not read.
"""

import enum
from dataclasses import dataclass


class Role(enum.StrEnum):
    """Role of a PCI function in passthrough, from its class code."""

    GPU = "gpu"
    AUDIO = "audio"
    USB = "usb"
    UCSI = "ucsi"
    NVSWITCH = "nvswitch"
    NIC = "nic"
    STORAGE = "storage"
    #: A display adapter that is no accelerator, such as the management controller's.
    DISPLAY = "display"
    BRIDGE = "bridge"
    OTHER = "other"


#: Roles of the other functions of a card, which must be passed through together with its GPU.
COMPANIONS = frozenset((Role.AUDIO, Role.USB, Role.UCSI))


class DeviceType(enum.StrEnum):
    """Nova's device types (PciDeviceType in nova/objects/fields.py), as libvirt will report them.

    A function with the SR-IOV capability is ``type-PF`` whether or not VFs are enabled
    (``_get_device_type`` in nova/virt/libvirt/host.py, virNodeDeviceGetPCISRIOVCaps in libvirt).
    """

    PCI = "type-PCI"
    PF = "type-PF"
    VF = "type-VF"


@dataclass(frozen=True, slots=True)
class Bar:
    """A base address register that requests memory space."""

    #: 0 to 5 for the function's BARs; 7 to 12 for those of its VFs (``resource`` lines 7 to 12).
    index: int
    #: Bytes.
    size: int
    prefetchable: bool = False
    #: Whether it can lie above 4 GiB.
    is_64bit: bool = False
    #: False if firmware and kernel found no address range for it.
    assigned: bool = True


@dataclass(frozen=True, slots=True)
class PcieLink:
    """Current and maximum speed (GT/s) and width (lanes) of a PCIe link."""

    speed_gts: float | None = None
    width: int | None = None
    #: Maximum of the card.
    max_speed_gts: float | None = None
    max_width: int | None = None
    #: Maximum of the port above it.
    slot_max_speed_gts: float | None = None
    slot_max_width: int | None = None


@dataclass(frozen=True, slots=True)
class PciDevice:
    """One PCI function."""

    #: ``dddd:bb:ss.f``, lower case.
    address: str
    #: Six hex digits: class, subclass, programming interface.
    class_code: str
    #: Four hex digits each, lower case.
    vendor_id: str
    product_id: str
    role: Role
    #: Name from the newest pci.ids found, or None.
    name: str | None = None
    subsystem_vendor_id: str | None = None
    subsystem_product_id: str | None = None
    #: None if the firmware does not report it (-1 in the kernel).
    numa_node: int | None = None
    iommu_group: int | None = None
    #: The kernel driver that holds it.
    driver: str | None = None
    driver_override: str | None = None
    #: Modules of the running kernel that match its modalias, so could bind it at boot.
    modules: tuple[str, ...] = ()
    #: Bridges above it, from the root port down to the closest.
    bridges: tuple[str, ...] = ()
    boot_vga: bool = False
    link: PcieLink | None = None
    bars: tuple[Bar, ...] = ()
    #: Reset methods in the kernel's order: flr, bus, pm, device_specific, acpi, cxl_bus. Empty:
    #: there is none; None: the kernel does not report them (before 5.15).
    reset_methods: tuple[str, ...] | None = None
    d3cold_allowed: bool | None = None
    #: D0, D1, D2, D3hot, D3cold, unknown.
    power_state: str | None = None
    #: Maximum number of VFs; None without the SR-IOV capability.
    sriov_total_vfs: int | None = None
    sriov_vfs: int = 0
    #: Address of a VF's PF.
    physical_function: str | None = None
    #: ACS controls of a bridge that are on; None if the capability is missing or cannot be read
    #: (only root may read beyond the first 64 bytes of ``config``).
    acs: tuple[str, ...] | None = None
    #: Power limit of the slot; only root can read it, as with acs.
    slot_power_watts: float | None = None
    #: Power draw and power cap, if the driver that holds the card has hwmon sensors.
    power_watts: float | None = None
    power_cap_watts: float | None = None
    #: Serial number of the card, for GPUs, NICs and NVSwitches; most can be read only by root.
    serial: str | None = None

    @property
    def slot(self) -> str:
        """``dddd:bb:ss``, which all functions of one card share."""
        return self.address.rpartition(".")[0]

    @property
    def function(self) -> int:
        """Function number within its slot."""
        return int(self.address.rpartition(".")[2], 16)

    @property
    def device_type(self) -> DeviceType:
        """The device type in Nova."""
        if self.physical_function is not None:
            return DeviceType.VF
        return DeviceType.PF if self.sriov_total_vfs else DeviceType.PCI

    @property
    def ids(self) -> str:
        """``vendor:product``, as lspci prints it."""
        return f"{self.vendor_id}:{self.product_id}"

    @property
    def high_bars(self) -> tuple[int, ...]:
        """Sizes (bytes) of its BARs that can lie above 4 GiB behind a root port.

        A port's only window above 4 GiB is for prefetchable memory (PCI-to-PCI Bridge Architecture
        Specification 1.2, 3.2.5).
        """
        return tuple(
            bar.size for bar in self.bars if bar.index <= 5 and bar.is_64bit and bar.prefetchable
        )


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU of the host: data beyond its PCI function."""

    #: Address of its function among the inventory's devices.
    address: str
    #: Name from the catalogue, the operator or pci.ids, without blanks.
    model: str
    #: Source of the model: catalogue, operator, pci.ids or ids.
    model_source: str
    #: Shared by all functions of the card: the value of the tag ``gpu_card``.
    card: str
    #: Addresses of the card's other functions that must be passed through with it.
    companions: tuple[str, ...] = ()
    #: Link group and the partitions inside it, outermost first; empty if unknown.
    link_group: tuple[str, ...] = ()
    #: Source of the link group: a file name, xgmi, hwloc, catalogue or operator.
    link_source: str | None = None
    #: The closest PCIe upstream port that it shares with another GPU, or else with a NIC.
    switch: str | None = None
    #: Addresses of GPUs that are joined by xGMI or NVLink; for the drawing and for checks.
    peers: tuple[str, ...] = ()
