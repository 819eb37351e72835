# SPDX-License-Identifier: Apache-2.0
"""Choice of companions, NICs and disks for GPUs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nova_gpu_passthrough.topology.attachment import choose_attached, distance
from nova_gpu_passthrough.topology.fit import FitReason, FitRefusal, fit
from nova_gpu_passthrough.topology.model import (
    FreeDevice,
    GuestCell,
    NumaCell,
    NumaPolicy,
    PciRequest,
)
from tests.unit.builders import gpu, gpu_request, host_gpus, numbers

AUDIO = PciRequest("audio", "an-audio", 1)
NIC = PciRequest("nic", "a-nic", 1)


def nic(name, node=0, switch=None):
    return FreeDevice(name, node, switch)


def audio(card, name=None):
    return FreeDevice(name or f"audio-{card}", 0, None, card)


def choose(gpus, count=1, audios=None, nics=None, pci_requests=(), **fields):
    attached = {}
    if audios is not None:
        attached["audio"] = tuple(audios)
    if nics is not None:
        attached["nic"] = tuple(nics)
    cards = fields.pop("companion_cards", ())
    host = host_gpus(gpus, attached, fields.pop("cells", ()), cards)
    choices = fit(host, gpu_request(count, attached=tuple(pci_requests), **fields))
    assert not isinstance(choices, FitRefusal), choices
    return choices[0]


@pytest.mark.parametrize(
    "device, expected",
    [
        (FreeDevice("d", None, None, "card"), 0),
        (FreeDevice("d", 1, "s"), 0),
        (FreeDevice("d", 0, "t"), 1),
        (FreeDevice("d", 1, "t"), 2),
        (FreeDevice("d"), 2),
    ],
)
def test_distance(device, expected):
    assert distance(device, [gpu(1, node=0, switch="s", card="card")]) == expected


def test_unknown_numa_nodes_are_not_equal():
    assert distance(FreeDevice("d"), [gpu(1, node=None)]) == 2


def test_a_companion_comes_from_the_gpus_card():
    gpus = [gpu(1, card="c1"), gpu(2, card="c2")]
    chosen = choose(gpus, audios=[audio("c2")], pci_requests=[AUDIO])
    assert numbers(chosen.gpus) == [2]
    assert [device.card for device in chosen.devices["audio"]] == ["c2"]


def test_each_gpu_comes_with_its_companion():
    gpus = [gpu(number, card=f"c{number}") for number in range(4)]
    audios = [audio(f"c{number}") for number in (3, 1)]
    chosen = choose(gpus, 2, audios, pci_requests=[PciRequest("audio", "an-audio", 2)])
    assert numbers(chosen.gpus) == [1, 3]
    assert {device.card for device in chosen.devices["audio"]} == {"c1", "c3"}


def test_companions_may_come_from_other_cards_if_the_flavor_allows_it():
    gpus = [gpu(1, card="c1"), gpu(2, card="c1")]
    host = host_gpus(gpus[:1], {"audio": (audio("c9"), audio("c1"))})
    two = gpu_request(attached=(PciRequest("audio", "an-audio", 2),))
    assert fit(host, two).reason is FitReason.COMPANIONS
    anywhere = gpu_request(attached=(PciRequest("audio", "an-audio", 2),), companions=False)
    assert len(fit(host, anywhere)[0].devices["audio"]) == 2


def test_gpus_of_one_card_share_its_companion():
    gpus = [gpu(1, card="c1"), gpu(2, card="c1"), gpu(3, card="c2")]
    audios = [audio("c1"), audio("c2")]
    chosen = choose(gpus, 2, audios, pci_requests=[PciRequest("audio", "an-audio", 2)])
    assert {one.card for one in chosen.gpus} == {"c1", "c2"}


def test_companions_of_two_kinds_come_from_one_card():
    gpus = [gpu(1, card="c1"), gpu(2, card="c2"), gpu(3, card="c3")]
    host = host_gpus(
        gpus,
        {
            "audio": (audio("c1"), audio("c3")),
            "usb": (FreeDevice("u2", card="c2"), FreeDevice("u3", card="c3")),
        },
    )
    choices = fit(host, gpu_request(attached=(AUDIO, PciRequest("usb", "a-usb", 1))))
    assert numbers(choices[0].gpus) == [3]


def test_a_server_without_companions_leaves_cards_that_have_them():
    gpus = [gpu(1, card="c1"), gpu(2, card="c2")]
    assert numbers(choose(gpus, companion_cards=["c1"]).gpus) == [2]


def test_a_nic_behind_the_gpus_switch_is_chosen():
    nics = [nic("far", 1, "z"), nic("same node", 0, "b"), nic("same switch", 0, "a")]
    chosen = choose([gpu(1, switch="a")], nics=nics, pci_requests=[NIC])
    assert chosen.devices["nic"] == (nics[2],)
    assert chosen.distance == 0


def test_a_nic_on_the_gpus_node_is_better_than_a_farther_one():
    nics = [nic("far", 1), nic("same node", 0)]
    chosen = choose([gpu(1)], nics=nics, pci_requests=[NIC])
    assert chosen.devices["nic"] == (nics[1],)
    assert chosen.distance == 1


def test_the_gpu_near_a_free_nic_is_chosen():
    gpus = [gpu(1, node=0), gpu(2, node=1)]
    chosen = choose(gpus, nics=[nic("n", 1)], pci_requests=[NIC])
    assert numbers(chosen.gpus) == [2]


def test_a_near_nic_justifies_a_broken_pair_but_no_second_numa_node():
    gpus = [gpu(1, node=0), gpu(2, node=1, switch="a"), gpu(3, node=1, switch="a")]
    chosen = choose(gpus, nics=[nic("n", 1, "a")], pci_requests=[NIC])
    assert numbers(chosen.gpus) == [2]
    gpus = [gpu(1, node=0), gpu(2, node=0), gpu(3, node=1)]
    chosen = choose(gpus, 2, nics=[nic("n", 1)], pci_requests=[NIC])
    assert numbers(chosen.gpus) == [1, 2]


def test_nics_are_spread_over_the_switches_of_the_gpus():
    gpus = [gpu(1, switch="a"), gpu(2, switch="b")]
    nics = [nic("a1", 0, "a"), nic("a2", 0, "a"), nic("b1", 0, "b")]
    chosen = choose(gpus, 2, nics=nics, pci_requests=[PciRequest("nic", "a-nic", 2)])
    assert {device.switch for device in chosen.devices["nic"]} == {"a", "b"}


def test_vfs_of_one_pf_are_different_devices():
    vfs = [FreeDevice("pf", 0, None, None, "rp", index) for index in range(3)]
    chosen = choose([gpu(1)], nics=vfs, pci_requests=[PciRequest("nic", "a-nic", 3)])
    assert len(set(chosen.devices["nic"])) == 3


def test_two_aliases_for_the_same_nics_share_none():
    host = host_gpus([gpu(1)], {"a": (nic("n1"), nic("n2")), "b": (nic("n1"), nic("n2"))})
    request = gpu_request(attached=(PciRequest("a", "a", 1), PciRequest("b", "b", 1)))
    devices = fit(host, request)[0].devices
    assert {*devices["a"], *devices["b"]} == {nic("n1"), nic("n2")}


def test_a_nic_with_a_strict_policy_is_on_the_guests_node():
    cells = [NumaCell(0, 0, 8, 8, 1000, 1000), NumaCell(1, 1, 8, 0, 1000, 1000)]
    strict = PciRequest("nic", "a-nic", 1, NumaPolicy.REQUIRED)
    chosen = choose(
        [gpu(1, node=None)],
        nics=[nic("n1", 1), nic("n0", 0)],
        pci_requests=[strict],
        cells=cells,
        guest_cells=(GuestCell(0, 4, 10),),
    )
    assert [device.address for device in chosen.devices["nic"]] == ["n0"]


def test_a_companion_on_the_gpus_card_is_nearer_than_another():
    neighbour, own = FreeDevice("n", 0, "s", "c2"), FreeDevice("o", 0, "s", "c1")
    gpus = [gpu(1, switch="s", card="c1")]
    assert choose_attached(1, [neighbour, own], gpus, same_card=False) == (own,)


def test_too_few_companions_on_the_cards_give_no_choice():
    assert (
        choose_attached(2, [audio("c1"), audio("c2")], [gpu(1, card="c1")], same_card=True) is None
    )


@settings(max_examples=100)
@given(
    st.lists(
        st.builds(
            FreeDevice,
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
    chosen = choose_attached(count, devices, gpus, same_card=False)
    if len(devices) < count:
        assert chosen is None
        return
    assert len(set(chosen)) == count
    left = [device for device in devices if device not in chosen]
    farthest = max(distance(device, gpus) for device in chosen)
    assert all(distance(device, gpus) >= farthest for device in left)
