# SPDX-License-Identifier: Apache-2.0
"""Roles of PCI functions, companions, models and shared switches."""

import pytest

from nova_gpu_passthrough.host.classify import gpus_of, role_of, shared_port
from nova_gpu_passthrough.inventory.pci import PciDevice, Role

PORT = "0000:00:01.0"


def function(address, role=Role.GPU, ids="10de:2330", name=None, bridges=(PORT,)):
    """Return a PCI function below some bridges."""
    vendor, product = ids.split(":")
    return PciDevice(address, "030200", vendor, product, role, name=name, bridges=tuple(bridges))


@pytest.mark.parametrize("subclass", ["0300", "0302", "0380", "1200"])
@pytest.mark.parametrize("ids", ["10de:2330", "10de:ffff", "1002:74a1", "1002:ffff", "8086:0bd5"])
def test_gpus(subclass, ids):
    assert role_of(f"{subclass}00", *ids.split(":"), {}) is Role.GPU


@pytest.mark.parametrize("ids", ["1a03:2000", "102b:0522", "1234:1111", "1af4:1050", "8086:ffff"])
def test_other_displays_are_no_gpus(ids):
    for subclass in ("0300", "0302", "0380"):
        assert role_of(f"{subclass}00", *ids.split(":"), {}) is Role.DISPLAY


def test_other_accelerators_are_no_gpus():
    assert role_of("120000", "10ee", "5005", {}) is Role.OTHER
    assert role_of("120000", "1da3", "1060", {}) is Role.GPU


def test_the_operator_can_name_any_function_as_gpu():
    assert role_of("088000", "10ee", "5005", {"10ee:5005": "Alveo"}) is Role.GPU
    assert role_of("088000", "10ee", "5006", {"10ee:5005": "Alveo"}) is Role.OTHER


@pytest.mark.parametrize(
    ("code", "vendor", "role"),
    [
        ("040300", "10de", Role.AUDIO),
        ("0c0330", "10de", Role.USB),
        ("0c8000", "10de", Role.UCSI),
        ("068000", "10de", Role.NVSWITCH),
        ("068000", "8086", Role.BRIDGE),
        ("060400", "8086", Role.BRIDGE),
        ("060000", "8086", Role.BRIDGE),
        ("020000", "15b3", Role.NIC),
        ("020700", "15b3", Role.NIC),
        ("010802", "144d", Role.STORAGE),
        ("080600", "1022", Role.OTHER),
        ("0c0500", "8086", Role.OTHER),
        ("000000", "10de", Role.OTHER),
        ("ffffff", "10de", Role.OTHER),
    ],
)
def test_roles_by_class(code, vendor, role):
    assert role_of(code, vendor, "1234", {}) is role


def test_companions_are_in_the_same_slot():
    devices = [
        function("0000:01:00.0"),
        function("0000:01:00.1", Role.AUDIO),
        function("0000:01:00.2", Role.USB),
        function("0000:01:00.3", Role.UCSI),
        function("0000:01:00.4", Role.NIC),
        function("0000:01:01.0", Role.AUDIO),
        function("0001:01:00.1", Role.AUDIO),
    ]
    (gpu,) = gpus_of(devices, {})
    assert gpu.companions == ("0000:01:00.1", "0000:01:00.2", "0000:01:00.3")
    assert gpu.card == "0000:01:00"


def test_the_first_of_two_gpus_in_a_slot_has_the_companions():
    devices = [
        function("0000:01:00.0"),
        function("0000:01:00.1", Role.AUDIO),
        function("0000:01:00.4"),
    ]
    first, second = gpus_of(devices, {})
    assert first.companions == ("0000:01:00.1",)
    assert second.companions == ()
    assert first.card == second.card


def test_companions_without_a_gpu_belong_to_none():
    assert gpus_of([function("0000:00:1f.3", Role.AUDIO)], {}) == ()


@pytest.mark.parametrize(
    ("ids", "name", "model", "source"),
    [
        ("10de:2330", "GH100 [H100 SXM5 80GB]", "H100-SXM", "catalogue"),
        ("10de:2684", "AD102 [GeForce RTX 4090]", "GeForce-RTX-4090", "pci.ids"),
        ("10de:2684", "AD102", "AD102", "pci.ids"),
        ("10de:2684", "Ada / [RTX 4090] [rev 2]", "RTX-4090", "pci.ids"),
        ("10de:2684", "[]", "10de-2684", "ids"),
        ("10de:2684", None, "10de-2684", "ids"),
    ],
)
def test_the_source_of_a_model(ids, name, model, source):
    (gpu,) = gpus_of([function("0000:01:00.0", ids=ids, name=name)], {})
    assert (gpu.model, gpu.model_source) == (model, source)


def test_the_operator_names_models_first():
    (gpu,) = gpus_of([function("0000:01:00.0")], {"10de:2330": "mine"})
    assert (gpu.model, gpu.model_source) == ("mine", "operator")


def test_the_closest_port_above_two_is_shared():
    root, upstream, *down = "0000:00:01.0", "0000:01:00.0", "0000:02:00.0", "0000:02:01.0"
    first = function("0000:03:00.0", bridges=(root, upstream, down[0]))
    second = function("0000:04:00.0", bridges=(root, upstream, down[1]))
    third = function("0000:05:00.0", bridges=(root,))
    assert shared_port(first, [first, second, third]) == upstream
    assert shared_port(third, [first, second, third]) == root
    assert shared_port(first, [first]) is None
    assert shared_port(first, []) is None


def test_functions_of_one_card_share_no_switch():
    gpu = function("0000:03:00.0")
    assert shared_port(gpu, [gpu, function("0000:03:00.1")]) is None


def test_a_switch_shared_with_a_gpu_is_preferred_over_one_shared_with_a_nic():
    far, near = "0000:00:01.0", "0000:01:00.0"
    gpu = function("0000:03:00.0", bridges=(far, near))
    nic = function("0000:04:00.0", Role.NIC, bridges=(far, near))
    other = function("0000:05:00.0", bridges=(far,))
    assert gpus_of([gpu, nic, other], {})[0].switch == far
    assert gpus_of([gpu, nic], {})[0].switch == near
    assert gpus_of([gpu], {})[0].switch is None
