# SPDX-License-Identifier: Apache-2.0
"""CPUs, NUMA nodes, firmware and kernel of a host. None means "not told"."""

import enum
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HugePages:
    """A NUMA node's pool of huge pages of one size."""

    size_kib: int
    total: int
    free: int


@dataclass(frozen=True, slots=True)
class NumaNode:
    """A host NUMA node."""

    id: int
    #: Physical package; None where the node has no CPUs or the kernel does not tell.
    socket: int | None = None
    #: CPU ids as the kernel lists them, such as ``0-27,56-83``; empty for a node without CPUs.
    cpus: str = ""
    #: Threads of one core, such as ``0,56``, one item per core.
    cores: tuple[str, ...] = ()
    memory_mib: int = 0
    huge_pages: tuple[HugePages, ...] = ()
    #: To all nodes in the order of their ids (ACPI SLIT).
    distances: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Cpu:
    """The processors."""

    #: intel, amd, arm or what /proc/cpuinfo says.
    vendor: str | None = None
    model: str | None = None
    physical_address_bits: int | None = None


class IommuKind(enum.StrEnum):
    """Who translates a device's addresses."""

    INTEL = "intel"
    AMD = "amd"
    SMMU = "smmu"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Iommu:
    """The IOMMU as the kernel runs it."""

    #: None: the kernel runs none.
    kind: IommuKind | None = None
    #: ACPI table in which the firmware offers one: DMAR, IVRS or IORT.
    firmware_table: str | None = None
    #: How many groups there are.
    groups: int = 0
    interrupt_remapping: bool | None = None
    #: ``allow_unsafe_interrupts`` of vfio_iommu_type1.
    unsafe_interrupts: bool | None = None
    #: Bits of an address that it can translate.
    address_bits: int | None = None
    #: False where what was read says nothing of IOMMUs, as in a recording of parts of /sys.
    told: bool = True


class ModuleState(enum.StrEnum):
    """Where a kernel module is."""

    LOADED = "loaded"
    BUILTIN = "builtin"
    AVAILABLE = "available"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Kernel:
    """The running kernel."""

    release: str | None = None
    command_line: str | None = None
    #: State of vfio-pci, vfio-iommu-type1 and the drivers that could take a GPU, by module name
    #: with underscores; absent where neither /sys/module nor /lib/modules tells.
    modules: dict[str, ModuleState] | None = None
    #: ``none``, ``integrity`` or ``confidentiality``.
    lockdown: str | None = None
    secure_boot: bool | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """Who made it and what is installed on it."""

    vendor: str | None = None
    product: str | None = None
    #: Distribution: ``ID``, ``ID_LIKE`` and ``VERSION_ID`` of os-release.
    os_id: str | None = None
    os_like: tuple[str, ...] = ()
    os_version: str | None = None


@dataclass(frozen=True, slots=True)
class Chassis:
    """What the management controller says over Redfish."""

    power_watts: float | None = None
    power_capacity_watts: float | None = None
    #: Degrees Celsius by sensor.
    temperatures: dict[str, float] | None = None
