# SPDX-License-Identifier: Apache-2.0
"""IOMMU groups as Linux forms them, for the topologies that servers have.

Rules: ``pci_device_group`` in drivers/iommu/iommu.c and ``pci_acs_enabled`` in drivers/pci/pci.c.
"""

from tests.trees.device import Device, Kind
from tests.trees.model import Machine


def iommu_groups(machine: Machine) -> dict[str, int]:
    """The group of every function by address; empty without a running IOMMU.

    A function is alone unless a port between it and the root bus lacks Access Control Services:
    then it is in the group of the bridge above it. Functions of one device share a group unless
    they have ACS. The IOMMU's own function has no group.
    """
    numbers: dict[str, int] = {}
    if machine.iommu is None:
        return numbers
    count = 0
    for place in machine.places():
        device, parents = place.device, place.parents
        if device.class_code >> 8 == 0x0806:
            continue
        if parents and not all(_isolates(port) for port in parents):
            numbers[device.address] = numbers[parents[0].address]
            continue
        if device.physfn is None and not device.acs:
            shared = next(
                (
                    numbers[other.address]
                    for other in place.siblings
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
    """Whether no peer-to-peer transfer can pass this port unseen by the IOMMU."""
    if port.kind is Kind.PCI_BRIDGE:
        return False
    if port.kind in (Kind.ROOT_PORT, Kind.DOWNSTREAM):
        return port.acs
    return True
