# SPDX-License-Identifier: Apache-2.0
"""Form IOMMU groups like Linux, for the topologies of servers.

Rules: ``pci_device_group`` in drivers/iommu/iommu.c and ``pci_acs_enabled`` in drivers/pci/pci.c.
"""

from tests.trees.device import Device, PortType
from tests.trees.model import Machine


def iommu_groups(machine: Machine) -> dict[str, int]:
    """Return the group of every function by address; empty without an IOMMU in use.

    A function is alone unless a port between it and the root bus lacks Access Control Services:
    then it is in the group of the bridge above it. Functions of one device share a group unless
    they have ACS. The IOMMU's own function has no group.
    """
    numbers: dict[str, int] = {}
    if machine.iommu is None:
        return numbers
    count = 0
    for location in machine.locations():
        device, parents = location.device, location.parents
        if device.class_code >> 8 == 0x0806:
            continue
        if parents and not all(_isolates(port) for port in parents):
            numbers[device.address] = numbers[parents[0].address]
            continue
        if device.physfn is None and not device.acs:
            shared = next(
                (
                    numbers[other.address]
                    for other in location.siblings
                    if other.address in numbers and _same_slot(device, other) and not other.acs
                ),
                None,
            )
            if shared is not None:
                numbers[device.address] = shared
                continue
        numbers[device.address] = count
        count += 1
    return numbers


def _same_slot(one: Device, other: Device) -> bool:
    return one.address.rpartition(".")[0] == other.address.rpartition(".")[0]


def _isolates(port: Device) -> bool:
    """Check whether all peer-to-peer transfers through a port pass the IOMMU."""
    if port.kind is PortType.PCI_BRIDGE:
        return False
    if port.kind in (PortType.ROOT_PORT, PortType.DOWNSTREAM):
        return port.acs
    return True
