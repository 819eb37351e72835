# SPDX-License-Identifier: Apache-2.0
"""Check Access Control Services of the bridges above GPUs, which isolate the functions below.

The kernel enables ACS when it uses an IOMMU (pci_enable_acs in drivers/pci/pci.c), and forms IOMMU
groups from it; upstream ports of switches have no ACS (PCI Express Base Specification, 6.12).
"""

from collections.abc import Iterator

from nova_gpu_passthrough.host import fix_commands
from nova_gpu_passthrough.inventory.findings import HOST, Finding, Remedy, Severity
from nova_gpu_passthrough.inventory.model import Inventory

_SOURCE = "/sys/bus/pci/devices/*/config"
_FIRMWARE = "Enable ACS in the firmware setup (PCIe ACS, SR-IOV or virtualisation options)."


def check(inventory: Inventory) -> Iterator[Finding]:
    """Check ACS above GPUs if the kernel uses an IOMMU."""
    if inventory.iommu.kind is None or not inventory.gpus:
        return
    above = dict.fromkeys(b for gpu in inventory.gpus for b in inventory.device(gpu).bridges)
    ports = [inventory.by_address[address] for address in above if address in inventory.by_address]
    known = [port for port in ports if port.acs is not None]
    off = [port.address for port in known if not port.acs]
    if off:
        yield Finding(
            "acs.off",
            Severity.WARNING,
            HOST,
            f"ACS is off at {', '.join(off)}",
            _SOURCE,
            "Functions below such a port can reach each other without the IOMMU, so the kernel "
            "puts them into one group.",
            _fix(inventory),
            Remedy.FIRMWARE,
        )
    elif known:
        text = f"on at {len(known)} of {len(ports)} bridges above GPUs, the others do not have it"
        yield Finding("acs.on", Severity.OK, HOST, text, _SOURCE)
    elif ports:
        text = f"unknown at {len(ports)} bridges above GPUs: only root can read it"
        yield Finding("acs.untold", Severity.OK, HOST, text, _SOURCE)


def _fix(inventory: Inventory) -> str:
    words = (inventory.kernel.command_line or "").split()
    off = [word for word in words if "disable_acs_redir" in word or "config_acs" in word]
    if off:
        then = "enable ACS in the firmware setup if it is still off"
        return fix_commands.remove_kernel_options(inventory, *off, then=then)
    return _FIRMWARE
