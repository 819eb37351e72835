# SPDX-License-Identifier: Apache-2.0
from nova_gpu_passthrough.nova_rules.host_capacity import Amount, Kind, RoomDevice
from nova_gpu_passthrough.topology.model import Device, Gpu
from tests.unit import builders
from tests.unit.nova_rules import host_capacities

AUDIO = RoomDevice("CUSTOM_AUDIO", Device("0000:20:00.1", 0, card="card0"))


def test_only_free_devices_are_offered():
    room = host_capacities.room(devices=host_capacities.gpus(reserved=[1], in_use=[2]))
    offered = room.offers(host_capacities.needs())
    assert builders.numbers(offered.gpus["0"]) == [0, 3, 4, 5, 6, 7]


def test_units_of_one_address_are_told_apart():
    vf = RoomDevice("CUSTOM_H100", Gpu("0000:51:00.0", "MI300X-VF"), frozenset(), free=3)
    assert [gpu.ordinal for gpu in vf.gpus()] == [0, 1, 2]
    assert [unit.ordinal for unit in vf.units()] == [0, 1, 2]


def test_devices_of_an_alias_have_its_class_and_traits():
    device = RoomDevice("CUSTOM_H100", Gpu("0000:51:00.0", "H100"), frozenset(["A", "B"]))
    assert device.is_of(Kind("CUSTOM_H100", frozenset("A")))
    assert not device.is_of(Kind("CUSTOM_H100", frozenset("C")))
    assert not device.is_of(Kind("CUSTOM_H100", forbidden=frozenset("B")))
    assert not device.is_of(Kind("CUSTOM_A100"))


def test_a_card_has_companions_while_the_pools_have_them():
    for device, cards in (
        (AUDIO, {"card0"}),
        (AUDIO._replace(free=0, reserved=1), {"card0"}),
        (AUDIO._replace(free=0, in_use=1), set()),
    ):
        room = host_capacities.room(devices=[device])
        assert room.offers(host_capacities.needs(0)).companion_cards == cards


def test_devices_are_counted_by_node_as_the_pools_count_them():
    room = host_capacities.room(
        devices=[*host_capacities.gpus(reserved=[1], in_use=[2]), host_capacities.nic(0, node=1)]
    )
    assert room.devices_by_node() == {0: 3, 1: 5}


def test_what_a_server_takes_is_gone():
    room = host_capacities.room()
    taken = [room.devices[3].device]
    left = room.without([("PCPU", 4)], taken, room.cells[:1])
    assert left.amounts["PCPU"] == Amount(32, 4)
    assert [device.free for device in left.devices] == [1, 1, 1, 0, 1, 1, 1, 1]
    assert left.devices[3].in_use == 1
    assert left.cells == room.cells[:1]


def test_equal_rooms_are_found_in_a_dictionary():
    assert (
        len(
            {host_capacities.room(): 1, host_capacities.room(): 2, host_capacities.room(PCPU=31): 3}
        )
        == 2
    )
