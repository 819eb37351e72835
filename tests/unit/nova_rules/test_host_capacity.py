# SPDX-License-Identifier: Apache-2.0
"""Free capacities of hosts."""

from nova_gpu_passthrough.nova_rules.host_capacity import Amount, DeviceCapacity, DeviceClass
from nova_gpu_passthrough.topology.model import FreeDevice, FreeGpu
from tests.unit import builders
from tests.unit.nova_rules import host_capacities

AUDIO = DeviceCapacity("CUSTOM_AUDIO", FreeDevice("0000:20:00.1", 0, card="card0"))


def test_only_free_devices_can_be_chosen():
    capacity = host_capacities.free_capacity(devices=host_capacities.gpus(reserved=[1], in_use=[2]))
    free = capacity.host_gpus(host_capacities.server_demand())
    assert builders.numbers(free.gpus["0"]) == [0, 3, 4, 5, 6, 7]


def test_units_of_one_address_differ():
    vf = DeviceCapacity("CUSTOM_H100", FreeGpu("0000:51:00.0", "MI300X-VF"), frozenset(), free=3)
    assert [gpu.ordinal for gpu in vf.free_gpus()] == [0, 1, 2]
    assert [unit.ordinal for unit in vf.free_units()] == [0, 1, 2]


def test_an_alias_selects_devices_by_class_and_traits():
    device = DeviceCapacity("CUSTOM_H100", FreeGpu("0000:51:00.0", "H100"), frozenset(["A", "B"]))
    assert device.matches(DeviceClass("CUSTOM_H100", frozenset("A")))
    assert not device.matches(DeviceClass("CUSTOM_H100", frozenset("C")))
    assert not device.matches(DeviceClass("CUSTOM_H100", forbidden=frozenset("B")))
    assert not device.matches(DeviceClass("CUSTOM_A100"))


def test_a_card_has_companions_if_the_pools_have_them():
    for device, cards in (
        (AUDIO, {"card0"}),
        (AUDIO._replace(free=0, reserved=1), {"card0"}),
        (AUDIO._replace(free=0, in_use=1), set()),
    ):
        capacity = host_capacities.free_capacity(devices=[device])
        assert capacity.host_gpus(host_capacities.server_demand(0)).companion_cards == cards


def test_devices_are_counted_by_node_as_the_pools_count_them():
    capacity = host_capacities.free_capacity(
        devices=[*host_capacities.gpus(reserved=[1], in_use=[2]), host_capacities.nic(0, node=1)]
    )
    assert capacity.free_devices_by_node() == {0: 3, 1: 5}


def test_a_server_consumes_resources_and_devices():
    capacity = host_capacities.free_capacity()
    taken = [capacity.devices[3].device]
    left = capacity.consume([("PCPU", 4)], taken, capacity.cells[:1])
    assert left.amounts["PCPU"] == Amount(32, 4)
    assert [device.free for device in left.devices] == [1, 1, 1, 0, 1, 1, 1, 1]
    # Nobody uses it yet.
    assert left.devices[3].in_use == 0
    assert left.cells == capacity.cells[:1]


def test_equal_capacities_are_one_key():
    assert (
        len(
            {
                host_capacities.free_capacity(): 1,
                host_capacities.free_capacity(): 2,
                host_capacities.free_capacity(PCPU=31): 3,
            }
        )
        == 2
    )
