# SPDX-License-Identifier: Apache-2.0
"""Read processor, firmware, kernel and IOMMU of a host."""

import re
import shlex
from collections.abc import Iterable

from nova_gpu_passthrough.host.kernel_modules import KernelModules
from nova_gpu_passthrough.host.root import Root
from nova_gpu_passthrough.inventory.host import Cpu, Iommu, IommuKind, Kernel, Machine

_CPU_VENDORS = {"GenuineIntel": "intel", "AuthenticAMD": "amd", "HygonGenuine": "amd"}
#: Names in /sys/class/iommu (iommu_device_sysfs_add in drivers/iommu).
_IOMMUS = {"dmar": IommuKind.INTEL, "ivhd": IommuKind.AMD, "smmu": IommuKind.SMMU}
_ACPI_TABLES = "/sys/firmware/acpi/tables"
_SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"


def kernel_release(root: Root) -> str | None:
    """Return the release of the running kernel."""
    release = root.text("/proc/sys/kernel/osrelease")
    if release:
        return release
    match = re.match(r"Linux version (\S+)", root.text("/proc/version") or "")
    return match[1] if match else None


def read_machine(root: Root) -> Machine:
    """Read vendor, product and distribution."""
    text = root.text("/etc/os-release") or root.text("/usr/lib/os-release") or ""
    values = {
        key: _unquoted(value)
        for key, _, value in (line.partition("=") for line in text.splitlines())
    }
    return Machine(
        root.text("/sys/class/dmi/id/sys_vendor"),
        root.text("/sys/class/dmi/id/product_name"),
        values.get("ID"),
        tuple(values.get("ID_LIKE", "").split()),
        values.get("VERSION_ID"),
    )


def cpu_vendor(vendor_id: str) -> str:
    """Return the vendor of a processor by its CPUID signature; an unknown signature is returned."""
    return _CPU_VENDORS.get(vendor_id, vendor_id)


def read_cpu(root: Root) -> Cpu:
    """Read vendor, model and width of physical addresses."""
    # The first processor suffices; the file of a host with 256 processors has half a megabyte.
    text = (root.data("/proc/cpuinfo", 2**14) or b"").decode(errors="replace")
    vendor = re.search(r"^vendor_id\s*: (.+)$", text, re.MULTILINE)
    model = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    bits = re.search(r"^address sizes\s*: (\d{1,2}) bits physical", text, re.MULTILINE)
    name = cpu_vendor(vendor[1]) if vendor else None
    if name is None and re.search(r"^CPU implementer\s*:", text, re.MULTILINE):
        name = "arm"
    return Cpu(name, model[1].strip() if model else None, int(bits[1]) if bits else None)


def read_kernel(root: Root, release: str | None, modules: KernelModules) -> Kernel:
    """Read release, command line, modules, lockdown and secure boot."""
    lockdown = re.search(r"\[(\w+)\]", root.text("/sys/kernel/security/lockdown") or "")
    return Kernel(
        release,
        root.text("/proc/cmdline"),
        modules.states() or None,
        lockdown[1] if lockdown else None,
        _secure_boot(root),
    )


def read_iommu(root: Root) -> Iommu:
    """Read the IOMMU that the kernel uses and the one that the firmware describes."""
    kind = None
    names = root.names("/sys/class/iommu")
    for name in names:
        kind = next((k for prefix, k in _IOMMUS.items() if prefix in name), IommuKind.OTHER)
    groups = len(root.names("/sys/kernel/iommu_groups"))
    if groups and kind is None:
        kind = IommuKind.OTHER
    tables = root.names(_ACPI_TABLES)
    unsafe = root.text("/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts")
    return Iommu(
        kind if groups else None,
        next((table for table in ("DMAR", "IVRS", "IORT") if table in tables), None),
        groups,
        _interrupt_remapping(root),
        {"Y": True, "1": True, "N": False, "0": False}.get(unsafe or ""),
        _address_bits(root, names),
        root.exists("/sys/kernel/iommu_groups") or root.exists(_ACPI_TABLES),
    )


def _address_bits(root: Root, names: Iterable[str]) -> int | None:
    """Return the smallest maximum guest address width of the IOMMUs.

    Only for Intel, from the capability register (cap_mgaw in drivers/iommu/intel/iommu.h).
    """
    widths = []
    for name in names:
        path = f"/sys/class/iommu/{name}/intel-iommu/cap"
        capability = root.parsed(path, lambda text: int(text[:16], 16), "a register in hexadecimal")
        if capability is not None:
            widths.append((capability >> 16 & 0x3F) + 1)
    return min(widths, default=None)


def _interrupt_remapping(root: Root) -> bool | None:
    """Check whether interrupts are remapped: the interrupt chips then have names with ``IR-``.

    (drivers/iommu/intel/irq_remapping.c, drivers/iommu/amd/iommu.c.) The kernel also logs it, but
    the log needs privileges. On Arm the GIC ITS remaps interrupts, and has another name.
    """
    text = root.text("/proc/interrupts")
    if not text or not re.search(r"\b(IR-)?(IO-APIC|PCI-MSIX?)\b", text):
        return None
    if re.search(r"\bITS-(PCI-)?MSI", text):
        return True
    return "IR-" in text


def _secure_boot(root: Root) -> bool | None:
    """Read the EFI variable: four bytes of attributes and one of value."""
    data = root.data(_SECURE_BOOT, 8)
    if data is None or len(data) < 5:
        # Without UEFI there is no secure boot; with UEFI, the variable may be unreadable. A
        # recording may have no firmware folder at all.
        efi, any_firmware = root.exists("/sys/firmware/efi"), root.exists("/sys/firmware")
        return None if efi or not any_firmware else False
    return data[4] == 1


def _unquoted(value: str) -> str:
    try:
        words = shlex.split(value)
    except ValueError:
        return value
    return words[0] if words else ""
