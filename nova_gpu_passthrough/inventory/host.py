# SPDX-License-Identifier: Apache-2.0
"""CPUs, NUMA nodes, firmware and kernel of a host. None means unknown."""

import enum
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HugePages:
    """Huge pages of one size on a NUMA node."""

    size_kib: int
    total: int
    free: int


@dataclass(frozen=True, slots=True)
class NumaNode:
    """A host NUMA node."""

    id: int
    #: Physical package; None if the node has no CPUs or the kernel does not report it.
    socket: int | None = None
    #: CPU ids as the kernel lists them, such as ``0-27,56-83``; empty for a node without CPUs.
    cpus: str = ""
    #: Threads of one core, such as ``0,56``, one item per core.
    cores: tuple[str, ...] = ()
    memory_mib: int = 0
    huge_pages: tuple[HugePages, ...] = ()
    #: Distances to all nodes in the order of their ids (ACPI SLIT).
    distances: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Cpu:
    """The processors."""

    #: intel, amd, arm or the vendor id in /proc/cpuinfo.
    vendor: str | None = None
    model: str | None = None
    physical_address_bits: int | None = None

    @property
    def is_x86(self) -> bool:
        """Check whether the processors are known to be x86."""
        return self.vendor in ("intel", "amd")


class IommuKind(enum.StrEnum):
    """Kind of the IOMMU that translates the addresses of devices."""

    INTEL = "intel"
    AMD = "amd"
    SMMU = "smmu"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Iommu:
    """The IOMMU that the kernel uses."""

    #: None: the kernel uses no IOMMU.
    kind: IommuKind | None = None
    #: ACPI table in which the firmware describes an IOMMU: DMAR, IVRS or IORT.
    firmware_table: str | None = None
    #: Number of IOMMU groups.
    groups: int = 0
    interrupt_remapping: bool | None = None
    #: ``allow_unsafe_interrupts`` of vfio_iommu_type1.
    unsafe_interrupts: bool | None = None
    #: Width in bits of the addresses that it can translate.
    address_bits: int | None = None
    #: False if the source has no data about IOMMUs, as a recording of parts of /sys. The key in
    #: inventory files is ``told``.
    known: bool = True


class ModuleState(enum.StrEnum):
    """State of a kernel module."""

    LOADED = "loaded"
    BUILTIN = "builtin"
    AVAILABLE = "available"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Kernel:
    """The running kernel."""

    release: str | None = None
    command_line: str | None = None
    #: State of vfio-pci, vfio-iommu-type1 and the drivers that could bind a GPU, by module name
    #: with underscores; None if neither /sys/module nor /lib/modules could be read.
    modules: dict[str, ModuleState] | None = None
    #: ``none``, ``integrity`` or ``confidentiality``.
    lockdown: str | None = None
    secure_boot: bool | None = None


class Distribution(enum.StrEnum):
    """The families of distributions, which differ in boot loader and initramfs tools."""

    DEBIAN = "debian"
    REDHAT = "redhat"
    SUSE = "suse"


#: By ``ID`` of os-release.
_FAMILIES = {
    "debian": Distribution.DEBIAN,
    "ubuntu": Distribution.DEBIAN,
    "rhel": Distribution.REDHAT,
    "fedora": Distribution.REDHAT,
    "centos": Distribution.REDHAT,
    "rocky": Distribution.REDHAT,
    "almalinux": Distribution.REDHAT,
    "suse": Distribution.SUSE,
    "sles": Distribution.SUSE,
    "opensuse": Distribution.SUSE,
}


@dataclass(frozen=True, slots=True)
class Machine:
    """Vendor, product and operating system."""

    vendor: str | None = None
    product: str | None = None
    #: Distribution: ``ID``, ``ID_LIKE`` and ``VERSION_ID`` of os-release.
    os_id: str | None = None
    os_like: tuple[str, ...] = ()
    os_version: str | None = None
    #: Serial numbers of the machine, its chassis and its board, from the firmware or over Redfish;
    #: only root can read the firmware's. Hashes begin with ``hmac-`` (``--hash-serials``).
    serial: str | None = None
    chassis_serial: str | None = None
    board_serial: str | None = None

    @property
    def distribution(self) -> Distribution | None:
        """The family of the distribution, by ``ID`` and ``ID_LIKE``; None if both are unknown."""
        for word in (self.os_id or "", *self.os_like):
            family = _FAMILIES.get(word) or _FAMILIES.get(word.partition("-")[0])
            if family:
                return family
        return None


@dataclass(frozen=True, slots=True)
class Chassis:
    """Power and temperatures that the management controller reports over Redfish."""

    power_watts: float | None = None
    power_capacity_watts: float | None = None
    #: Degrees Celsius by sensor name.
    temperatures: dict[str, float] | None = None
