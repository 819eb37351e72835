# SPDX-License-Identifier: Apache-2.0
"""Access Control Services of the bridges above GPUs, which keep functions below them apart.

The kernel switches ACS on when it runs an IOMMU (pci_enable_acs in drivers/pci/pci.c), and makes
IOMMU groups by it; upstream ports of switches have none (PCI Express Base Specification, 6.12).
"""

from collections.abc import Iterator

from nova_gpu_passthrough.inventory.findings import HOST, Finding, Remedy, Severity
from nova_gpu_passthrough.inventory.model import Inventory

_SOURCE = "/sys/bus/pci/devices/*/config"


def check(inventory: Inventory) -> Iterator[Finding]:
    """ACS above GPUs, where an IOMMU runs."""
    if inventory.iommu.kind is None or not inventory.gpus:
        return
    above = dict.fromkeys(b for gpu in inventory.gpus for b in inventory.device(gpu).bridges)
    ports = [inventory.by_address[address] for address in above if address in inventory.by_address]
    told = [port for port in ports if port.acs is not None]
    off = [port.address for port in told if not port.acs]
    if off:
        yield Finding(
            "acs.off",
            Severity.WARNING,
            HOST,
            f"ACS is off at {', '.join(off)}",
            _SOURCE,
            "Functions below such a port can reach each other past the IOMMU, so the kernel puts "
            "them into one group.",
            "Switch ACS on in the firmware setup; look for pci=disable_acs_redir and "
            "pci=config_acs on the kernel command line.",
            Remedy.FIRMWARE,
        )
    elif told:
        found = f"on at {len(told)} of {len(ports)} bridges above GPUs, the others have none"
        yield Finding("acs.on", Severity.OK, HOST, found, _SOURCE)
    elif ports:
        found = f"not told at {len(ports)} bridges above GPUs: reading it takes root"
        yield Finding("acs.untold", Severity.OK, HOST, found, _SOURCE)
