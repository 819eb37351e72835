# SPDX-License-Identifier: Apache-2.0
"""Fits of requests on hosts, and reasons of refusals."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nova_gpu_passthrough.topology import choice, numa, search
from nova_gpu_passthrough.topology.fit import DeviceChoice, FitReason, FitRefusal, fit
from nova_gpu_passthrough.topology.model import (
    FreeDevice,
    GpuRequest,
    GuestCell,
    HostGpus,
    NumaCell,
    NumaPolicy,
    PciRequest,
    Preference,
)
from tests.unit import strategies
from tests.unit.builders import address, gpu, gpu_request, hgx, host_gpus, numbers

REQUIRED = Preference.REQUIRED
#: NUMA nodes, GPUs of the host, requested GPUs, guest cells.
LARGE_REQUESTS = [(24, 24, 8, 8), (24, 8, 2, 6), (8, 16, 8, 4), (24, 64, 16, 8), (36, 8, 4, 2)]
GUEST = (GuestCell(0, 4, 4096),)


def cells(count, pinned=16, memory=65536):
    return [NumaCell(n, n // 2, 16, pinned, memory, memory) for n in range(count)]


def refusal(host, request):
    result = fit(host, request)
    assert isinstance(result, FitRefusal), result
    return result.reason, result.detail


def best(host, request, rng=None):
    result = fit(host, request, rng)
    assert not isinstance(result, FitRefusal), result
    return result[0]


# -- every reason ------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [-1, 0, 65])
def test_an_impossible_number_of_gpus_is_an_invalid_request(count):
    reason, detail = refusal(host_gpus(hgx()), gpu_request(count))
    assert reason is FitReason.INVALID_REQUEST
    assert f"alias a-gpu: {count} devices requested, expected 1 to 64" in detail


def test_an_invalid_number_of_other_devices_is_an_invalid_request():
    request = gpu_request(attached=(PciRequest("nic", "a-nic", 65),))
    reason, detail = refusal(host_gpus(hgx(), {"nic": ()}), request)
    assert reason is FitReason.INVALID_REQUEST
    assert "alias a-nic: 65 devices requested" in detail


def test_a_server_may_get_sixty_four_gpus():
    chosen = best(host_gpus([gpu(number) for number in range(64)]), gpu_request(64))
    assert len(chosen.gpus) == 64


def test_a_host_without_gpus_of_the_alias():
    assert refusal(host_gpus([]), gpu_request(2)) == (
        FitReason.NO_GPUS,
        "a-gpu: 2 requested, 0 free",
    )


def test_a_host_with_too_few_gpus():
    result = refusal(host_gpus(hgx([1, 2, 3])), gpu_request(4))
    assert result == (FitReason.TOO_FEW_GPUS, "a-gpu: 4 requested, 3 free")


def test_aliases_that_the_same_gpus_serve_are_counted_together():
    gpus = tuple(hgx([0, 1, 2]))
    request = GpuRequest((PciRequest("a", "one", 2), PciRequest("b", "two", 2)))
    result = refusal(HostGpus({"a": gpus, "b": gpus}), request)
    assert result == (FitReason.TOO_FEW_GPUS, "one, two: 4 requested, 3 free")


def test_a_host_with_too_few_devices_of_another_alias():
    request = gpu_request(attached=(PciRequest("nic", "a-nic", 2),))
    result = refusal(host_gpus(hgx(), {"nic": (FreeDevice("n1"),)}), request)
    assert result == (FitReason.TOO_FEW_DEVICES, "a-nic: 2 requested, 1 free")


def test_companions_of_other_cards_only():
    gpus = [gpu(1, card="c1"), gpu(2, card="c2")]
    audio = (FreeDevice("a2", card="c2"), FreeDevice("a3", card="c3"))
    request = gpu_request(2, attached=(PciRequest("audio", "an-audio", 2),))
    reason, detail = refusal(host_gpus(gpus, {"audio": audio}), request)
    assert reason is FitReason.COMPANIONS
    assert "a-gpu:2, an-audio:2" in detail
    assert f"{address(1)} on node 0, {address(2)} on node 0" in detail


def test_gpus_in_different_link_groups():
    gpus = [gpu(1, link="x"), gpu(2, link="y")]
    reason, detail = refusal(host_gpus(gpus), gpu_request(2, link=REQUIRED))
    assert reason is FitReason.LINK
    assert "a-gpu:2 link=required" in detail
    assert address(1) in detail


def test_free_gpus_are_listed_in_the_order_of_addresses():
    # Nova's pools are in the order in which devices became free.
    gpus = hgx()[:4]
    in_order = refusal(host_gpus(gpus), gpu_request(4, switch=REQUIRED))
    assert f"{gpus[0].address} on node 0, {gpus[1].address} on node 0" in in_order[1]
    assert refusal(host_gpus(gpus[::-1]), gpu_request(4, switch=REQUIRED)) == in_order


def test_gpus_behind_different_switches():
    gpus = [gpu(1, switch="x"), gpu(2, switch="y")]
    reason, detail = refusal(host_gpus(gpus), gpu_request(2, switch=REQUIRED))
    assert reason is FitReason.SWITCH
    assert "switch=required" in detail


def test_gpus_on_more_numa_nodes_than_allowed():
    gpus = [gpu(1, node=0), gpu(2, node=1)]
    reason, detail = refusal(host_gpus(gpus), gpu_request(2, numa=REQUIRED))
    assert reason is FitReason.NUMA
    assert f"{address(1)} on node 0, {address(2)} on node 1" in detail


def test_gpus_away_from_the_nodes_with_room_for_the_guest():
    host = host_gpus([gpu(1, node=1)], cells=[*cells(1), cells(2, pinned=0)[1]])
    request = gpu_request(policy=NumaPolicy.REQUIRED, guest_cells=GUEST)
    assert refusal(host, request)[0] is FitReason.NUMA


def test_gpus_that_miss_several_constraints():
    gpus = [gpu(1, node=0, link="x", switch="s"), gpu(2, node=1, link="y", switch="t")]
    request = gpu_request(2, link=REQUIRED, switch=REQUIRED, numa=REQUIRED)
    reason, detail = refusal(host_gpus(gpus), request)
    assert reason is FitReason.NUMA
    assert "several constraints together" in detail


def test_a_guest_that_fits_on_no_node():
    host = host_gpus(hgx(), cells=cells(2, pinned=3))
    reason, detail = refusal(host, gpu_request(guest_cells=GUEST))
    assert reason is FitReason.GUEST_NUMA
    assert detail == "1 guest NUMA cells fit on none of 2 nodes"


def test_a_guest_with_more_cells_than_the_host():
    host = host_gpus(hgx(), cells=cells(2))
    reason, detail = refusal(host, gpu_request(guest_cells=GUEST * 3))
    assert reason is FitReason.GUEST_NUMA
    assert detail == "3 guest NUMA cells fit on none of 2 nodes"


def test_a_guest_with_cells_on_a_host_without_numa_topology():
    result = refusal(host_gpus(hgx()), gpu_request(guest_cells=GUEST))
    assert result == (FitReason.GUEST_NUMA, "the host reports no NUMA topology")


# -- choices -----------------------------------------------------------------------------------


def test_without_guest_cells_there_is_one_choice():
    result = fit(host_gpus(hgx()), gpu_request(2))
    assert [numbers(choice.gpus) for choice in result] == [[0, 1]]


def test_one_choice_for_every_set_of_nodes_that_can_hold_the_guest():
    host = host_gpus(hgx(), cells=cells(2))
    result = fit(host, gpu_request(2, policy=NumaPolicy.REQUIRED, guest_cells=GUEST))
    assert [choice.numa_nodes for choice in result] == [{0}, {1}]


def test_nodes_without_free_cpus_give_no_choice():
    host = host_gpus(hgx(), cells=[*cells(2, pinned=3)[:1], *cells(2)[1:]])
    result = fit(host, gpu_request(2, policy=NumaPolicy.REQUIRED, guest_cells=GUEST))
    assert [choice.numa_nodes for choice in result] == [{1}]


def test_the_best_choice_comes_first():
    gpus = [gpu(1, node=0, link="x"), gpu(2, node=0, link="y"), *hgx([4, 5])]
    host = host_gpus(gpus, cells=cells(2))
    result = fit(host, gpu_request(2, policy=NumaPolicy.REQUIRED, guest_cells=GUEST))
    assert [numbers(choice.gpus) for choice in result] == [[4, 5], [1, 2]]
    assert result[0].quality > result[1].quality


def test_equal_choices_are_returned_once():
    host = host_gpus([gpu(1, node=None)], cells=cells(2))
    assert len(fit(host, gpu_request(guest_cells=GUEST))) == 1


def test_preferred_numa_stays_within_the_guests_cells_if_possible():
    gpus = [gpu(1, node=None, link="x"), gpu(2, node=1, link="x"), gpu(3, node=1, link="y")]
    fields = {"policy": NumaPolicy.PREFERRED, "guest_cells": GUEST}
    host = host_gpus(gpus, cells=cells(2)[:1])
    assert numbers(best(host, gpu_request(2, **fields)).gpus) == [2, 3]


def test_required_numa_uses_one_node_even_without_guest_cells():
    gpus = [gpu(1, node=0, link="x"), gpu(2, node=1, link="x"), gpu(3, node=1)]
    assert numbers(best(host_gpus(gpus), gpu_request(2)).gpus) == [1, 2]
    assert numbers(best(host_gpus(gpus), gpu_request(2, numa=REQUIRED)).gpus) == [2, 3]


def test_required_numa_excludes_gpus_of_unknown_node():
    assert refusal(host_gpus([gpu(1, node=None)]), gpu_request(numa=REQUIRED))[0] is FitReason.NUMA


def test_each_alias_gets_gpus_of_its_model():
    h100, t4 = tuple(hgx([0, 1])), (gpu(0x40, model="T4"),)
    request = GpuRequest((PciRequest("t", "t4", 1), PciRequest("h", "h100", 2)))
    choice = best(HostGpus({"t": t4, "h": h100}), request)
    assert numbers(choice.devices["t"]) == [0x40]
    assert numbers(choice.devices["h"]) == [0, 1]
    assert len(choice.gpus) == 3


def test_aliases_that_the_same_gpus_serve_share_none():
    gpus = tuple(hgx())
    request = GpuRequest((PciRequest("a", "one", 1), PciRequest("b", "two", 3)))
    choice = best(HostGpus({"a": gpus, "b": gpus}), request)
    assert sorted(numbers(choice.devices["a"]) + numbers(choice.devices["b"])) == [0, 1, 2, 3]


def test_an_alias_for_any_gpu_leaves_the_only_gpu_of_another_alias():
    rare, common = gpu(1), gpu(2)
    request = GpuRequest((PciRequest("any", "any", 1), PciRequest("rare", "rare", 1)))
    choice = best(HostGpus({"any": (rare, common), "rare": (rare,)}), request)
    assert numbers(choice.devices["rare"]) == [1]
    assert numbers(choice.devices["any"]) == [2]


def test_a_choice_is_repeatable_without_a_random_generator():
    host = host_gpus([gpu(number) for number in range(8)])
    assert fit(host, gpu_request(3)) == fit(host, gpu_request(3))


def test_a_random_generator_spreads_equal_choices():
    host = host_gpus([gpu(number) for number in range(8)])
    rng = random.Random(1)
    picked = {number for _ in range(100) for number in numbers(best(host, gpu_request(), rng).gpus)}
    assert picked == set(range(8))


# -- quality -----------------------------------------------------------------------------------


def test_quality_is_one_for_neighbours():
    assert best(host_gpus(hgx()), gpu_request(2)).quality == pytest.approx(1.0)


def test_numa_weighs_more_than_links_and_links_more_than_switches():
    def quality(second):
        first = gpu(1, node=0, link="x", switch="s")
        return best(host_gpus([first, second]), gpu_request(2)).quality

    two_nodes = quality(gpu(2, node=1, link="x", switch="s"))
    two_links = quality(gpu(2, node=0, link="y", switch="s"))
    two_switches = quality(gpu(2, node=0, link="x", switch="t"))
    assert two_nodes < two_links < two_switches < 1


@settings(max_examples=150)
@given(strategies.gpu_lists(), st.data())
def test_choices_meet_the_request(gpus, data):
    count = data.draw(st.integers(1, 9))
    fields = {name: data.draw(strategies.PREFERENCES) for name in ("link", "switch")}
    numa = data.draw(st.sampled_from([REQUIRED, Preference.PREFERRED]))
    result = fit(host_gpus(gpus), gpu_request(count, numa=numa, **fields))
    if isinstance(result, FitRefusal):
        assert str(count) in result.detail
        return
    for one in result:
        assert isinstance(one, DeviceChoice)
        assert len(set(one.gpus)) == count
        assert set(one.gpus) <= set(gpus)
        assert one.devices == {"gpu": one.gpus}
        assert 0 < one.quality <= 1
        if numa is REQUIRED:
            assert len(one.numa_nodes) == 1
            assert None not in one.numa_nodes


# -- several aliases ------------------------------------------------------------------------------


def test_an_alias_leaves_the_devices_that_another_one_needs():
    # The first alias would get GPU 0, one of the only two that can serve the second.
    gpus = [gpu(n) for n in range(4)]
    request = GpuRequest((PciRequest("any", "any", 1), PciRequest("some", "some", 2)))
    host = HostGpus({"any": (gpus[0], gpus[3]), "some": (gpus[0], gpus[1])})
    (choice,) = fit(host, request)
    assert choice.devices["any"] == (gpus[3],)
    assert choice.devices["some"] == (gpus[0], gpus[1])


def test_a_device_is_not_chosen_twice_as_a_gpu_and_as_another_device():
    card = gpu(1, provider="p")
    other = FreeDevice(card.address, card.numa_node, None, None, "p")
    request = GpuRequest((PciRequest("gpu", "gpu", 1),), (PciRequest("any", "any", 1),))
    host = HostGpus({"gpu": (card,)}, {"any": (other,)})
    assert isinstance(fit(host, request), FitRefusal)


def test_gpus_of_one_model_are_preferred_where_an_alias_has_several():
    gpus = [gpu(0, model="A"), gpu(1, model="B"), gpu(2, model="B")]
    choice = fit(host_gpus(gpus), gpu_request(2))[0]
    assert numbers(choice.gpus) == [1, 2]


def test_each_of_several_aliases_gets_gpus_of_one_model():
    # The GPUs of node 0 are of one model for each alias, those of node 1 are not.
    a = [gpu(n, node=n // 2, model=model) for n, model in enumerate("AAAB")]
    b = [gpu(8 + n, node=n // 2, model=model) for n, model in enumerate("BBAB")]
    request = GpuRequest(
        (PciRequest("a", "a", 2), PciRequest("b", "b", 2)), guest_cells=(GuestCell(1, 0, 1),)
    )
    choices = fit(HostGpus({"a": tuple(a), "b": tuple(b)}, {}, tuple(cells(2))), request)
    assert [choice.numa_nodes for choice in choices] == [{0}, {1}]
    assert [choice.cost.model_splits for choice in choices] == [0, 2]


def test_ports_make_no_choices_that_differ_in_their_devices_only():
    # The GPU has no NUMA node, and both nodes have a free VF.
    vfs = tuple(FreeDevice(address(16 + n), n) for n in range(2))
    request = GpuRequest(
        (PciRequest("gpu", "gpu", 1),),
        guest_cells=(GuestCell(1, 0, 1),),
        ports=(PciRequest("port", "", 1, NumaPolicy.REQUIRED),),
    )
    host = HostGpus({"gpu": (gpu(0, node=None),)}, {"port": vfs}, tuple(cells(3)))
    (choice,) = fit(host, request)
    assert choice.node_sets == ({0}, {1}, {2})
    assert choice.missing_ports == 0


def test_companions_that_the_numa_policy_excludes_do_not_count():
    # The audio function of the first card has no NUMA node, so Nova does not give it away.
    cards = [gpu(n, card=f"card{n}") for n in range(2)]
    audio = [FreeDevice(address(n, 1), (None, 0)[n], None, f"card{n}") for n in range(2)]
    request = GpuRequest(
        (PciRequest("gpu", "gpu", 1, NumaPolicy.REQUIRED),),
        (PciRequest("audio", "audio", 1, NumaPolicy.REQUIRED),),
        guest_cells=(GuestCell(1, 0, 1),),
    )
    host = HostGpus({"gpu": tuple(cards)}, {"audio": tuple(audio)}, tuple(cells(1)))
    (choice,) = fit(host, request)
    assert numbers(choice.gpus) == [1]


# -- bounds of the work on one host --------------------------------------------------------------


@pytest.mark.parametrize("policy", NumaPolicy)
@pytest.mark.parametrize("link", Preference)
@pytest.mark.parametrize("nodes, gpu_count, count, guest_cells", LARGE_REQUESTS)
def test_no_host_needs_many_steps(monkeypatch, policy, link, nodes, gpu_count, count, guest_cells):
    steps = []

    def run(self):
        solution = original(self)
        steps.append(solution.steps)
        return solution

    original = search.Search.run
    monkeypatch.setattr(search.Search, "run", run)
    choice._solve.cache_clear()
    gpus = [
        gpu(n, node=n % nodes, link=f"g{n % 3}/h{n % 5}/q{n % 7}", switch=f"s{n % 6}")
        for n in range(gpu_count)
    ]
    request = GpuRequest(
        (PciRequest("gpu", "a-gpu", count, policy),),
        link=link,
        guest_cells=tuple(GuestCell(0, 1 + n, 1024) for n in range(guest_cells)),
    )
    fit(host_gpus(gpus, cells=cells(nodes)), request)
    # One search may exceed what is left of the budget, and reasons of refusals have their own.
    assert sum(steps) <= 4 * search.MAX_STEPS
    assert len(steps) <= 2 * numa.MAX_NODE_SETS


def test_a_guest_with_many_cells_gets_linked_gpus_on_a_host_with_many_nodes():
    # As many nodes as a processor has caches: every fourth has a GPU.
    gpus = [gpu(n, node=4 * n, link=f"board{n % 2}") for n in range(8)]
    request = gpu_request(4, guest_cells=tuple(GuestCell(0, 4, 1024) for _ in range(8)))
    assert best(host_gpus(gpus, cells=cells(32)), request).cost.link_splits == 0
