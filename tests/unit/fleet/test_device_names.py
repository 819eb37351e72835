# SPDX-License-Identifier: Apache-2.0
"""Names of devices are built and read in one place."""

import pytest

from nova_gpu_passthrough.fleet import device_names
from nova_gpu_passthrough.fleet.offers import DeviceKind
from nova_gpu_passthrough.inventory.pci import DeviceType


@pytest.mark.parametrize(
    ("arguments", "alias", "resource_class"),
    [
        ((DeviceKind.GPU, "H100-SXM"), "h100-sxm", "CUSTOM_GPU_H100_SXM"),
        ((DeviceKind.GPU, "my Card"), "my-card", "CUSTOM_GPU_MY_CARD"),
        ((DeviceKind.AUDIO, "L40S"), "l40s-audio", "CUSTOM_GPU_L40S_AUDIO"),
        ((DeviceKind.GPU, "L40S", DeviceType.PF), "l40s-type-pf", "CUSTOM_GPU_L40S_TYPE_PF"),
        ((DeviceKind.NIC, "ConnectX-7"), "nic-connectx-7", "CUSTOM_NIC_CONNECTX_7"),
        ((DeviceKind.GPU, "+"), "", "CUSTOM_GPU_"),
    ],
)
def test_names_of_an_alias(arguments, alias, resource_class):
    assert device_names.alias(*arguments) == alias
    assert device_names.resource_class(*arguments) == resource_class
    assert resource_class.startswith(device_names.DEVICE_CLASS_PREFIXES)
    if alias:
        assert device_names.default_class_of(alias) == resource_class


@pytest.mark.parametrize("device_type", [None, *DeviceType])
@pytest.mark.parametrize("model", ["L40S", "H100-SXM"])
def test_the_model_of_a_resource_class(model, device_type):
    name = device_names.resource_class(DeviceKind.GPU, model, device_type)
    assert device_names.model_of_class(name, ["H100", "L40S", "H100-SXM"]) == model


def test_resource_classes_without_a_known_model():
    def model_of(*arguments):
        return device_names.model_of_class(device_names.resource_class(*arguments), ["L40S"])

    assert model_of(DeviceKind.GPU, "my card") == "MY_CARD"
    assert model_of(DeviceKind.AUDIO, "L40S") is None
    assert model_of(DeviceKind.NIC, "ConnectX-7") is None
    assert device_names.model_of_class("VCPU", ["L40S"]) is None


@pytest.mark.parametrize("kind", DeviceKind)
@pytest.mark.parametrize("device_type", [None, *DeviceType])
def test_resource_classes_of_companions_are_recognized(kind, device_type):
    name = device_names.resource_class(kind, "L40S", device_type)
    is_companion = kind not in (DeviceKind.GPU, DeviceKind.NIC)
    assert device_names.is_companion_class(name) == is_companion


def test_a_configured_class_is_normalized_and_cut_off():
    assert device_names.configured_resource_class("gpu h100") == "CUSTOM_GPU_H100"
    assert len(device_names.configured_resource_class("x" * 300)) == 255


def test_traits_are_read_as_they_are_built():
    traits = [
        device_names.model_trait("my-Card 2"),
        device_names.link_trait("nvs0"),
        device_names.numa_trait(DeviceKind.GPU, 3),
    ]
    assert traits == ["CUSTOM_GPU_MODEL_MY_CARD_2", "CUSTOM_GPU_LINK_NVS0", "CUSTOM_GPU_NUMA_3"]
    assert all(one.startswith(device_names.DEVICE_TRAIT_PREFIXES) for one in traits)
    assert device_names.model_of(traits, ["L40S", "my-Card 2"]) == "my-Card 2"
    assert device_names.model_of(traits, []) == "MY_CARD_2"
    assert device_names.link_group_of(traits) == "nvs0"
    assert device_names.numa_node_of(traits) == 3
    assert device_names.numa_node_of([device_names.numa_trait(DeviceKind.NIC, 1)]) == 1


def test_other_traits_say_nothing_about_a_device():
    traits = ["CUSTOM_OTHER", "HW_NIC_SRIOV", device_names.group_trait(["b", "a"])]
    assert traits[-1] == "CUSTOM_GPU_GROUP_A_B"
    assert not any(one.startswith(device_names.DEVICE_TRAIT_PREFIXES) for one in traits)
    assert device_names.model_of(traits, ["L40S"]) is None
    assert device_names.link_group_of(traits) is None
    assert device_names.numa_node_of(traits) is None
