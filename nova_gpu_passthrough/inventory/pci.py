# SPDX-License-Identifier: Apache-2.0
"""PCI functions of a host as the kernel tells of them.

None always means "not told": a file that this kernel, this privilege or this recording lacks.
"""

import enum
from dataclasses import dataclass


class Role(enum.StrEnum):
    """What a PCI function is to passthrough, by its class code."""

    GPU = "gpu"
    AUDIO = "audio"
    USB = "usb"
    UCSI = "ucsi"
    NVSWITCH = "nvswitch"
    NIC = "nic"
    STORAGE = "storage"
    #: A display that is no accelerator: the management controller's, an emulator's.
    DISPLAY = "display"
    BRIDGE = "bridge"
    OTHER = "other"


#: Roles of a card's further functions, which must go where its GPU goes.
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
    """A base address register that asks for memory space."""

    #: 0..5 for the function's own; 7..12 for those of its VFs (``resource`` lines 7 to 12).
    index: int
    #: Bytes.
    size: int
    prefetchable: bool = False
    #: Whether it can lie above 4 GiB.
    is_64bit: bool = False
    #: False where firmware and kernel found no room for it.
    assigned: bool = True


@dataclass(frozen=True, slots=True)
class PcieLink:
    """Speed (GT/s) and width (lanes) of a PCIe link, now and at most."""

    speed_gts: float | None = None
    width: int | None = None
    #: What the card itself can do.
    max_speed_gts: float | None = None
    max_width: int | None = None
    #: What the port above it can do.
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
    #: None where the firmware does not tell (the kernel's -1).
    numa_node: int | None = None
    iommu_group: int | None = None
    #: The kernel driver that holds it now.
    driver: str | None = None
    driver_override: str | None = None
    #: Modules of the running kernel that match its modalias, so could take it at boot.
    modules: tuple[str, ...] = ()
    #: Bridges above it, from the root port down to the closest.
    bridges: tuple[str, ...] = ()
    boot_vga: bool = False
    link: PcieLink | None = None
    bars: tuple[Bar, ...] = ()
    #: What the kernel can reset it by, in its order: flr, bus, pm, device_specific, acpi, cxl_bus.
    #: Empty: none; None: the kernel does not tell (before 5.15).
    reset_methods: tuple[str, ...] | None = None
    d3cold_allowed: bool | None = None
    #: D0, D1, D2, D3hot, D3cold, unknown.
    power_state: str | None = None
    #: VFs that it can have; None without the SR-IOV capability.
    sriov_total_vfs: int | None = None
    sriov_vfs: int = 0
    #: Address of the PF, for a VF.
    physical_function: str | None = None
    #: ACS controls that are on, for a bridge; None where the capability cannot be read (reading
    #: beyond the first 64 bytes of ``config`` takes root) or is missing.
    acs: tuple[str, ...] | None = None
    #: Watts that the slot above may deliver; takes root, as acs does.
    slot_power_watts: float | None = None
    #: Watts drawn now and at most, where a driver with hwmon holds the card.
    power_watts: float | None = None
    power_cap_watts: float | None = None

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
        """How Nova will see it."""
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
    """What passthrough needs to know of a GPU beyond its PCI function."""

    #: Address of its function among the inventory's devices.
    address: str
    #: Catalogue's, operator's, or pci.ids' name, without blanks.
    model: str
    #: Where the model comes from: catalogue, operator, pci.ids or ids.
    model_source: str
    #: Shared by all functions of the card: the value of the tag ``gpu_card``.
    card: str
    #: Addresses of the card's other functions that go with it.
    companions: tuple[str, ...] = ()
    #: Link group and the partitions inside it, outermost first; empty where none is known.
    link_group: tuple[str, ...] = ()
    #: Who says so: a file, xgmi, the catalogue or the operator.
    link_source: str | None = None
    #: The closest PCIe upstream port that it shares with another GPU, or else with a NIC.
    switch: str | None = None
    #: xGMI or NVLink peers seen, by address; for the drawing and for checks.
    peers: tuple[str, ...] = ()
