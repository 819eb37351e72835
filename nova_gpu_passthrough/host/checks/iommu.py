# SPDX-License-Identifier: Apache-2.0
"""Check whether an IOMMU translates addresses and remaps interrupts; passthrough needs both."""

import re
from collections.abc import Iterator

from nova_gpu_passthrough.host import fix_commands
from nova_gpu_passthrough.inventory.findings import HOST, Finding, Remedy, Severity
from nova_gpu_passthrough.inventory.host import IommuKind
from nova_gpu_passthrough.inventory.model import Inventory
from nova_gpu_passthrough.inventory.shell_fix import as_root, comment, script
from nova_gpu_passthrough.topology.address_space import OVMF_MAX_BITS

#: Values are lists: intel_iommu=on,sm_off means on.
_OFF = re.compile(r"(intel_iommu|amd_iommu|iommu)=([^,]+,)*off(,.*)?")
GROUPS, CMDLINE = "/sys/kernel/iommu_groups", "/proc/cmdline"
_WHY = (
    "VFIO passes a device to a server only behind an IOMMU, which restricts the device's memory "
    "accesses to that server."
)
_FIRMWARE = {
    "intel": "VT-d (Intel Virtualization Technology for Directed I/O)",
    "amd": "AMD-Vi (IOMMU)",
    "arm": "the SMMU",
}
_PURPOSE = "Add options to the kernel command line."
_ENABLE_REMAPPING = "Enable interrupt remapping (x2APIC, IOMMU) in the firmware setup."


def check(inventory: Inventory) -> Iterator[Finding]:
    """Check the IOMMU, interrupt remapping, and the options on the kernel command line."""
    if not inventory.reports_kernel:
        return
    yield _translation(inventory)
    if inventory.iommu.kind is not None:
        yield from _interrupts(inventory)
        yield from _width(inventory)
    yield from _override(inventory)


def _translation(inventory: Inventory) -> Finding:
    iommu, options = inventory.iommu, (inventory.kernel.command_line or "").split()
    if iommu.kind is not None:
        text = f"{iommu.kind} IOMMU on, {iommu.groups} groups"
        return Finding("iommu.on", Severity.OK, HOST, text, GROUPS)
    if not iommu.known:
        return Finding(
            "iommu.unknown",
            Severity.WARNING,
            HOST,
            "the source has neither IOMMU groups nor ACPI tables",
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
            script(
                fix_commands.remove_kernel_options(
                    inventory, *off, then="follow the steps below for the options that are needed"
                ),
                fix_commands.generate(inventory, _PURPOSE),
            ),
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
            f"Enable {_FIRMWARE[vendor]} in the firmware setup, then audit again.",
            Remedy.FIRMWARE,
        )
    table = iommu.firmware_table
    offer = f", although the firmware has an IOMMU (ACPI table {table})" if table else ""
    return Finding(
        "iommu.off",
        Severity.FAILURE,
        HOST,
        f"no IOMMU groups{offer}",
        GROUPS,
        _WHY,
        _enable(inventory, vendor),
        Remedy.CONFIGURATION,
    )


def _enable(inventory: Inventory, vendor: str) -> str:
    """Return how to make the kernel use the IOMMU."""
    if vendor == "intel":
        return fix_commands.generate(inventory, f"{_PURPOSE[:-1]}: intel_iommu=on iommu=pt.")
    if vendor == "amd":
        # The kernel enables AMD-Vi by default.
        look = as_root(inventory.host, "dmesg | grep AMD-Vi")
        purpose = f"Without an error there: {_PURPOSE[:-1]}: iommu=pt."
        return script(look, fix_commands.generate(inventory, purpose))
    return as_root(
        inventory.host,
        "dmesg | grep -i -e iommu -e smmu",
        then="Look for an error, and whether the kernel has a driver for this IOMMU.",
    )


def _remap(inventory: Inventory) -> str:
    """Return how to make the kernel remap interrupts."""
    words = (inventory.kernel.command_line or "").split()
    off = [word for word in words if word in ("intremap=off", "nox2apic")]
    if not off:
        return _ENABLE_REMAPPING
    then = "enable interrupt remapping (x2APIC, IOMMU) in the firmware setup"
    return fix_commands.remove_kernel_options(inventory, *off, then=then)


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
            script(
                comment(f"{_ENABLE_REMAPPING} Then remove the option that this shows:"),
                "grep -rn allow_unsafe_interrupts /etc/modprobe.d /etc/default/grub "
                "/etc/default/grub.d",
            ),
            Remedy.FIRMWARE,
        )
    else:
        yield Finding(
            "interrupt_remapping.off",
            Severity.FAILURE,
            HOST,
            "interrupts not remapped (no chip named IR-...)",
            source,
            "VFIO rejects devices whose interrupts are not remapped: "
            '"No interrupt remapping support".',
            _remap(inventory),
            Remedy.FIRMWARE,
        )


def _width(inventory: Inventory) -> Iterator[Finding]:
    """Check whether the IOMMU reaches the end of guests' address space, where they map BARs."""
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
                "IOMMU groups are then smaller than what the hardware isolates: servers can reach "
                "each other's devices.",
                fix_commands.remove_kernel_options(
                    inventory, option, then="enable ACS in the firmware setup, or use other slots,"
                ),
                Remedy.HARDWARE,
            )
