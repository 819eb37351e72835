# SPDX-License-Identifier: Apache-2.0
"""Companions of the GPUs' cards, and NICs and disks near them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nova_gpu_passthrough.topology.attachment import attach, distance
from nova_gpu_passthrough.topology.fit import Reason, Refusal, fit
from nova_gpu_passthrough.topology.model import Demand, Device, GuestCell, NumaCell, NumaPolicy
from tests.unit.builders import gpu, gpu_request, host_gpus, numbers

AUDIO = Demand("audio", "an-audio", 1)
NIC = Demand("nic", "a-nic", 1)


def nic(name, node=0, switch=None):
    return Device(name, node, switch)


def audio(card, name=None):
    return Device(name or f"audio-{card}", 0, None, card)


def choose(gpus, count=1, audios=None, nics=None, demands=(), **wishes):
    attached = {}
    if audios is not None:
        attached["audio"] = tuple(audios)
    if nics is not None:
        attached["nic"] = tuple(nics)
    cards = wishes.pop("companion_cards", ())
    host = host_gpus(gpus, attached, wishes.pop("cells", ()), cards)
    answer = fit(host, gpu_request(count, attached=tuple(demands), **wishes))
    assert not isinstance(answer, Refusal), answer
    return answer[0]


@pytest.mark.parametrize(
    "device, expected",
    [
        (Device("d", None, None, "card"), 0),
        (Device("d", 1, "s"), 0),
        (Device("d", 0, "t"), 1),
        (Device("d", 1, "t"), 2),
        (Device("d"), 2),
    ],
)
def test_distance(device, expected):
    assert distance(device, [gpu(1, node=0, switch="s", card="card")]) == expected


def test_unknown_places_are_not_near_each_other():
    assert distance(Device("d"), [gpu(1, node=None)]) == 2


def test_a_companion_comes_from_the_gpus_card():
    gpus = [gpu(1, card="c1"), gpu(2, card="c2")]
    chosen = choose(gpus, audios=[audio("c2")], demands=[AUDIO])
    assert numbers(chosen.gpus) == [2]
    assert [device.card for device in chosen.devices["audio"]] == ["c2"]


def test_every_gpu_brings_its_companion():
    gpus = [gpu(number, card=f"c{number}") for number in range(4)]
    audios = [audio(f"c{number}") for number in (3, 1)]
    chosen = choose(gpus, 2, audios, demands=[Demand("audio", "an-audio", 2)])
    assert numbers(chosen.gpus) == [1, 3]
    assert {device.card for device in chosen.devices["audio"]} == {"c1", "c3"}


def test_companions_may_come_from_anywhere_where_the_flavor_says_so():
    gpus = [gpu(1, card="c1"), gpu(2, card="c1")]
    host = host_gpus(gpus[:1], {"audio": (audio("c9"), audio("c1"))})
    two = gpu_request(attached=(Demand("audio", "an-audio", 2),))
    assert fit(host, two).reason is Reason.COMPANIONS
    anywhere = gpu_request(attached=(Demand("audio", "an-audio", 2),), companions=False)
    assert len(fit(host, anywhere)[0].devices["audio"]) == 2


def test_gpus_of_one_card_share_its_companion():
    gpus = [gpu(1, card="c1"), gpu(2, card="c1"), gpu(3, card="c2")]
    audios = [audio("c1"), audio("c2")]
    chosen = choose(gpus, 2, audios, demands=[Demand("audio", "an-audio", 2)])
    assert {one.card for one in chosen.gpus} == {"c1", "c2"}


def test_companions_of_two_kinds_come_from_one_card():
    gpus = [gpu(1, card="c1"), gpu(2, card="c2"), gpu(3, card="c3")]
    host = host_gpus(
        gpus,
        {
            "audio": (audio("c1"), audio("c3")),
            "usb": (Device("u2", card="c2"), Device("u3", card="c3")),
        },
    )
    answer = fit(host, gpu_request(attached=(AUDIO, Demand("usb", "a-usb", 1))))
    assert numbers(answer[0].gpus) == [3]


def test_a_server_without_companions_leaves_cards_that_have_them():
    gpus = [gpu(1, card="c1"), gpu(2, card="c2")]
    assert numbers(choose(gpus, companion_cards=["c1"]).gpus) == [2]


def test_a_nic_behind_the_gpus_switch_is_taken():
    nics = [nic("far", 1, "z"), nic("same node", 0, "b"), nic("same switch", 0, "a")]
    chosen = choose([gpu(1, switch="a")], nics=nics, demands=[NIC])
    assert chosen.devices["nic"] == (nics[2],)
    assert chosen.distance == 0


def test_a_nic_on_the_gpus_node_is_better_than_none_near():
    nics = [nic("far", 1), nic("same node", 0)]
    chosen = choose([gpu(1)], nics=nics, demands=[NIC])
    assert chosen.devices["nic"] == (nics[1],)
    assert chosen.distance == 1


def test_the_gpu_is_taken_where_a_nic_is_free():
    gpus = [gpu(1, node=0), gpu(2, node=1)]
    chosen = choose(gpus, nics=[nic("n", 1)], demands=[NIC])
    assert numbers(chosen.gpus) == [2]


def test_a_near_nic_is_worth_a_broken_pair_but_no_second_numa_node():
    gpus = [gpu(1, node=0), gpu(2, node=1, switch="a"), gpu(3, node=1, switch="a")]
    chosen = choose(gpus, nics=[nic("n", 1, "a")], demands=[NIC])
    assert numbers(chosen.gpus) == [2]
    gpus = [gpu(1, node=0), gpu(2, node=0), gpu(3, node=1)]
    chosen = choose(gpus, 2, nics=[nic("n", 1)], demands=[NIC])
    assert numbers(chosen.gpus) == [1, 2]


def test_nics_are_spread_over_the_switches_of_the_gpus():
    gpus = [gpu(1, switch="a"), gpu(2, switch="b")]
    nics = [nic("a1", 0, "a"), nic("a2", 0, "a"), nic("b1", 0, "b")]
    chosen = choose(gpus, 2, nics=nics, demands=[Demand("nic", "a-nic", 2)])
    assert {device.switch for device in chosen.devices["nic"]} == {"a", "b"}


def test_vfs_of_one_pf_are_told_apart():
    vfs = [Device("pf", 0, None, None, "rp", index) for index in range(3)]
    chosen = choose([gpu(1)], nics=vfs, demands=[Demand("nic", "a-nic", 3)])
    assert len(set(chosen.devices["nic"])) == 3


def test_two_aliases_for_the_same_nics_share_none():
    host = host_gpus([gpu(1)], {"a": (nic("n1"), nic("n2")), "b": (nic("n1"), nic("n2"))})
    request = gpu_request(attached=(Demand("a", "a", 1), Demand("b", "b", 1)))
    devices = fit(host, request)[0].devices
    assert {*devices["a"], *devices["b"]} == {nic("n1"), nic("n2")}


def test_a_nic_with_a_strict_policy_is_on_the_guests_node():
    cells = [NumaCell(0, 0, 8, 8, 1000, 1000), NumaCell(1, 1, 8, 0, 1000, 1000)]
    strict = Demand("nic", "a-nic", 1, NumaPolicy.REQUIRED)
    chosen = choose(
        [gpu(1, node=None)],
        nics=[nic("n1", 1), nic("n0", 0)],
        demands=[strict],
        cells=cells,
        guest_cells=(GuestCell(0, 4, 10),),
    )
    assert [device.address for device in chosen.devices["nic"]] == ["n0"]


def test_a_companion_of_the_own_card_is_nearer_than_a_neighbours():
    neighbour, own = Device("n", 0, "s", "c2"), Device("o", 0, "s", "c1")
    gpus = [gpu(1, switch="s", card="c1")]
    assert attach(1, [neighbour, own], gpus, same_card=False) == (own,)


def test_too_few_companions_on_the_cards_are_none():
    assert attach(2, [audio("c1"), audio("c2")], [gpu(1, card="c1")], same_card=True) is None


@settings(max_examples=100)
@given(
    st.lists(
        st.builds(
            Device,
            st.uuids().map(str),
            st.sampled_from([None, 0, 1]),
            st.sampled_from([None, "a", "b"]),
            st.sampled_from([None, "c1", "c2"]),
        ),
        max_size=6,
        unique=True,
    ),
    st.integers(1, 6),
)
def test_attached_devices_are_the_nearest(devices, count):
    gpus = [gpu(1, node=0, switch="a", card="c1")]
    taken = attach(count, devices, gpus, same_card=False)
    if len(devices) < count:
        assert taken is None
        return
    assert len(set(taken)) == count
    left = [device for device in devices if device not in taken]
    farthest = max(distance(device, gpus) for device in taken)
    assert all(distance(device, gpus) >= farthest for device in left)
