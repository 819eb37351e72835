# SPDX-License-Identifier: Apache-2.0
"""Views of an inventory, and properties of a PCI function."""

import dataclasses

import pytest

from nova_gpu_passthrough.inventory.model import Inventory
from nova_gpu_passthrough.inventory.pci import COMPANIONS, DeviceType, Gpu, PciDevice, Role


def _device(address, group=None, **values):
    return PciDevice(address, "030200", "10de", "2330", Role.GPU, iommu_group=group, **values)


INVENTORY = Inventory(
    "compute-1",
    "sysfs",
    "2026-11-24T06:00:00Z",
    devices=(
        _device("0000:01:00.0", 9),
        _device("0000:01:00.1", 9),
        _device("0000:02:00.0", 3),
        _device("0000:03:00.0"),
    ),
    gpus=(Gpu("0000:01:00.0", "X", "ids", "0000:01:00", companions=("0000:01:00.1",)),),
)


def test_devices_by_address():
    assert list(INVENTORY.by_address) == [device.address for device in INVENTORY.devices]
    (gpu,) = INVENTORY.gpus
    assert INVENTORY.device(gpu) is INVENTORY.devices[0]
    assert INVENTORY.companions(gpu) == (INVENTORY.devices[1],)


def test_groups_in_the_order_of_their_numbers():
    assert list(INVENTORY.iommu_groups) == [3, 9]
    assert INVENTORY.iommu_groups[9] == INVENTORY.devices[:2]


def test_a_changed_copy_has_new_views():
    assert INVENTORY.by_address
    copy = dataclasses.replace(INVENTORY, devices=())
    assert copy.by_address == {}
    assert copy.iommu_groups == {}


def test_slot_and_function_of_an_address():
    device = _device("10000:af:1f.7")
    assert device.slot == "10000:af:1f"
    assert device.function == 7
    assert device.ids == "10de:2330"


@pytest.mark.parametrize(
    ("values", "device_type"),
    [
        ({}, DeviceType.PCI),
        ({"sriov_total_vfs": 0}, DeviceType.PCI),
        ({"sriov_total_vfs": 16}, DeviceType.PF),
        ({"sriov_total_vfs": 16, "sriov_vfs": 4}, DeviceType.PF),
        ({"physical_function": "0000:01:00.0"}, DeviceType.VF),
        ({"physical_function": "0000:01:00.0", "sriov_total_vfs": 16}, DeviceType.VF),
    ],
)
def test_device_types(values, device_type):
    assert _device("0000:01:00.0", **values).device_type is device_type


def test_device_types_are_novas():
    fields = pytest.importorskip("nova.objects.fields")
    assert {str(kind) for kind in DeviceType} == {
        fields.PciDeviceType.STANDARD,
        fields.PciDeviceType.SRIOV_PF,
        fields.PciDeviceType.SRIOV_VF,
    }


def test_companions_are_audio_usb_and_ucsi():
    assert {str(role) for role in COMPANIONS} == {"audio", "usb", "ucsi"}
