# SPDX-License-Identifier: Apache-2.0
"""Whether an IOMMU translates and remaps: without it there is no passthrough at all."""

import re
from collections.abc import Iterator

from nova_gpu_passthrough.inventory.findings import HOST, Finding, Remedy, Severity
from nova_gpu_passthrough.inventory.host import IommuKind
from nova_gpu_passthrough.inventory.model import Inventory
from nova_gpu_passthrough.topology.address_space import OVMF_MAX_BITS

#: Options are lists: intel_iommu=on,sm_off is on.
_OFF = re.compile(r"(intel_iommu|amd_iommu|iommu)=([^,]+,)*off(,.*)?")
GROUPS, CMDLINE = "/sys/kernel/iommu_groups", "/proc/cmdline"
_WHY = (
    "VFIO gives a server a device only behind an IOMMU, which keeps the device's memory "
    "accesses inside that server."
)
_FIRMWARE = {
    "intel": "VT-d (Intel Virtualization Technology for Directed I/O)",
    "amd": "AMD-Vi (IOMMU)",
    "arm": "the SMMU",
}
_ON = {
    "intel": "Put intel_iommu=on iommu=pt on the kernel command line; nova-gpu config generate "
    "writes it.",
    "amd": "Put iommu=pt on the kernel command line, which nova-gpu config generate writes; the "
    "kernel uses AMD-Vi by itself: if it still does not, look for AMD-Vi in its log.",
}
_LOOK = "Look for an IOMMU error in the kernel's log, and whether it has a driver for this IOMMU."


def check(inventory: Inventory) -> Iterator[Finding]:
    """The IOMMU, its interrupts, and what the command line says about it."""
    if not inventory.tells_kernel:
        return
    yield _translation(inventory)
    if inventory.iommu.kind is not None:
        yield from _interrupts(inventory)
        yield from _width(inventory)
    yield from _override(inventory)


def _translation(inventory: Inventory) -> Finding:
    iommu, options = inventory.iommu, (inventory.kernel.command_line or "").split()
    if iommu.kind is not None:
        found = f"{iommu.kind} IOMMU on, {iommu.groups} groups"
        return Finding("iommu.on", Severity.OK, HOST, found, GROUPS)
    if not iommu.told:
        return Finding(
            "iommu.unknown",
            Severity.WARNING,
            HOST,
            "neither IOMMU groups nor ACPI tables are told",
            GROUPS,
            _WHY,
            "Audit the running machine, or record /sys/kernel/iommu_groups, /sys/class/iommu and "
            "/sys/firmware, too.",
        )
    off = [option for option in options if _OFF.fullmatch(option)]
    vendor = inventory.cpu.vendor or ""
    if off:
        return Finding(
            "iommu.off",
            Severity.FAILURE,
            HOST,
            f"no IOMMU groups; the kernel command line says {' '.join(off)}",
            CMDLINE,
            _WHY,
            f"Take {' '.join(off)} off the kernel command line; "
            "nova-gpu config generate writes the options that are needed.",
            Remedy.CONFIGURATION,
        )
    if iommu.firmware_table is None and vendor in _FIRMWARE:
        return Finding(
            "iommu.no_firmware",
            Severity.FAILURE,
            HOST,
            "no IOMMU groups, and no ACPI table DMAR, IVRS or IORT",
            "/sys/firmware/acpi/tables",
            _WHY,
            f"Switch {_FIRMWARE[vendor]} on in the firmware setup, then audit again.",
            Remedy.FIRMWARE,
        )
    table = iommu.firmware_table
    offer = f", though the firmware offers one (ACPI table {table})" if table else ""
    return Finding(
        "iommu.off",
        Severity.FAILURE,
        HOST,
        f"no IOMMU groups{offer}",
        GROUPS,
        _WHY,
        _ON.get(vendor, _LOOK),
        Remedy.CONFIGURATION,
    )


def _interrupts(inventory: Inventory) -> Iterator[Finding]:
    iommu, source = inventory.iommu, "/proc/interrupts"
    if iommu.interrupt_remapping:
        yield Finding("interrupt_remapping.on", Severity.OK, HOST, "interrupts remapped", source)
    elif iommu.interrupt_remapping is None or iommu.kind is IommuKind.SMMU:
        yield Finding(
            "interrupt_remapping.unknown", Severity.OK, HOST, "no interrupt chips named", source
        )
    elif iommu.unsafe_interrupts:
        yield Finding(
            "interrupt_remapping.unsafe",
            Severity.WARNING,
            HOST,
            "interrupts not remapped, and vfio_iommu_type1 allow_unsafe_interrupts=Y",
            "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts",
            "A server with a passed-through device can raise any interrupt of the host.",
            "Switch interrupt remapping (x2APIC, IOMMU) on in the firmware setup and take "
            "allow_unsafe_interrupts away.",
            Remedy.FIRMWARE,
        )
    else:
        yield Finding(
            "interrupt_remapping.off",
            Severity.FAILURE,
            HOST,
            "interrupts not remapped (no chip named IR-...)",
            source,
            "VFIO refuses devices whose interrupts are not remapped: "
            '"No interrupt remapping support".',
            "Switch interrupt remapping (x2APIC, IOMMU) on in the firmware setup; take "
            "intremap=off and nox2apic off the kernel command line.",
            Remedy.FIRMWARE,
        )


def _width(inventory: Inventory) -> Iterator[Finding]:
    """Guests map BARs at the end of their address space, which the IOMMU must reach."""
    bits, host_bits = inventory.iommu.address_bits, inventory.cpu.physical_address_bits
    if bits is None or host_bits is None or bits >= min(host_bits, OVMF_MAX_BITS):
        return
    yield Finding(
        "iommu.narrow",
        Severity.WARNING,
        HOST,
        f"the IOMMU translates addresses of {bits} bits, the processor has {host_bits}",
        "/sys/class/iommu/*/intel-iommu/cap",
        "A guest with the processor's address width maps BARs where the IOMMU does not reach: GPUs "
        'cannot reach each other, and QEMU warns "VFIO_MAP_DMA failed".',
        f"Give flavors hw:maxphysaddr_mode=emulate and hw:maxphysaddr_bits={bits}.",
    )


def _override(inventory: Inventory) -> Iterator[Finding]:
    options = (inventory.kernel.command_line or "").split()
    for option in options:
        if option.startswith("pcie_acs_override="):
            yield Finding(
                "acs.overridden",
                Severity.WARNING,
                HOST,
                f"the kernel command line says {option}",
                CMDLINE,
                "IOMMU groups then look smaller than the hardware isolates: servers can reach each "
                "other's devices.",
                f"Take {option} away and use ACS in the firmware setup or other slots.",
                Remedy.HARDWARE,
            )
