# SPDX-License-Identifier: Apache-2.0
"""From a HostState and a request to an answer."""

import pytest

from nova_gpu_passthrough.scheduler import pools, requests
from nova_gpu_passthrough.scheduler.assessment import assess
from nova_gpu_passthrough.scheduler.candidates import Fitted
from nova_gpu_passthrough.topology.fit import Reason
from tests.unit import builders
from tests.unit.builders import AUDIO, NIC, T4, host_state, pci_request, pool, request_spec


def answer(free, *asked, host_cells=(), **kwargs):
    state = host_state("host", free, host_cells)
    return assess(state, requests.read(request_spec(*asked, **kwargs), (), ()))


def in_placement(free, asked, serving=None, sent=None):
    """The answer where Placement tracks the devices, of which it names those in ``serving``."""
    state = host_state("host", free)
    spec = request_spec(*asked, in_placement=True)
    named = None if serving is None else {one.alias_name: serving for one in asked}
    state.allocation_candidates = builders.candidates(state, spec, serving=named) or sent
    return assess(state, requests.read(spec, (), ()))


def test_gpus_of_the_alias_are_offered():
    result = answer([pool(1), pool(2, T4), pool(3, NIC)], pci_request())
    ((gpus,),) = [list(result.host.gpus.values())]
    assert builders.numbers(gpus) == [1]
    assert builders.numbers(result.choices[0].gpus) == [1]


def test_tags_tell_that_an_unknown_device_is_a_gpu():
    result = answer([pool(1, NIC, gpu_model="research")], pci_request(spec=NIC))
    assert builders.numbers(result.choices[0].gpus) == [1]


def test_an_alias_for_other_devices_is_no_gpu_request():
    result = answer([pool(1, NIC)], pci_request(spec=NIC))
    assert not result.choices
    assert result.refusal is None
    assert not result.request.gpus


def test_an_alias_that_gpus_and_other_devices_serve_is_no_gpu_request():
    result = answer([pool(1, NIC), pool(2)], pci_request(spec={}))
    assert not result.request.gpus


def test_an_alias_that_nothing_serves_is_refused_if_it_is_certainly_for_gpus():
    assert answer([pool(1, T4)], pci_request()).refusal.reason is Reason.NO_GPUS
    assert answer([pool(1, T4)], pci_request(spec=NIC)).refusal is None


@pytest.mark.parametrize("count", [0, 65])
def test_absurd_counts_are_refused(count):
    refusal = answer([pool(n) for n in range(70)], pci_request(count)).refusal
    assert refusal.reason is Reason.INVALID_REQUEST
    assert f"asked for {count} devices" in refusal.detail


def test_a_host_without_pci_statistics_has_no_gpus():
    state = host_state()
    state.pci_stats = None
    request = requests.read(request_spec(pci_request()), (), ())
    assert assess(state, request).refusal.reason is Reason.NO_GPUS


def test_a_malformed_pool_is_told():
    with pytest.raises(pools.MalformedPoolError):
        answer([pool(1), pool(2, count=-1)], pci_request())


def test_other_aliases_are_attached():
    free = [pool(1, gpu_card="c"), pool(1, AUDIO, function=1, gpu_card="c"), pool(3)]
    result = answer(free, pci_request(), pci_request(1, AUDIO, "audio"))
    assert builders.numbers(result.choices[0].gpus) == [1]


def test_cards_with_free_companions_are_kept_for_those_who_ask():
    free = [pool(1, gpu_card="c"), pool(1, AUDIO, function=1, gpu_card="c"), pool(3)]
    assert builders.numbers(answer(free, pci_request()).choices[0].gpus) == [3]


def test_guest_cells_are_tried_on_the_hosts_cells():
    host_cells = [builders.cell(0, pcpus=2), builders.cell(1, pcpus=8)]
    numa = builders.guest_numa((0, 4, 64))
    result = answer(
        [pool(1, node=0), pool(2, node=1)], pci_request(), host_cells=host_cells, numa=numa
    )
    assert [builders.numbers(choice.gpus) for choice in result.choices] == [[2]]


def test_memory_in_huge_pages_counts_though_other_guests_overcommitted():
    free_pages = builders.pages(2048, 16)
    host_cell = builders.cell(0, pcpus=8, memory=1024, memory_used=2000, mempages=[free_pages])
    numa = builders.guest_numa((0, 4, 32))
    result = answer([pool(1)], pci_request(), host_cells=[host_cell], numa=numa)
    assert result.choices
    numa = builders.guest_numa((0, 4, 64))
    result = answer([pool(1)], pci_request(), host_cells=[host_cell], numa=numa)
    assert result.refusal.reason is Reason.GUEST_NUMA


def test_only_devices_that_placement_names_are_offered():
    free = [pool(n, host="host") for n in (1, 2, 3)]
    result = in_placement(free, [pci_request()], serving=free[1:2])
    assert builders.numbers(result.choices[0].gpus) == [2]


def test_devices_outside_placement_are_not_offered_where_placement_tracks_them():
    free = [pool(1), pool(2, host="host")]
    result = in_placement(free, [pci_request()], serving=free[1:])
    assert builders.numbers(result.choices[0].gpus) == [2]


def test_placement_and_pools_that_disagree_are_told_with_numbers():
    free = [pool(1, host="host")]
    gone = pool(2, host="host")
    result = in_placement(free, [pci_request(2)], serving=[*free, gone])
    assert result.refusal.reason is Reason.PLACEMENT
    assert "names 2 devices, of which 1 are not free" in result.refusal.detail
    assert gone["rp_uuid"] in result.refusal.detail


def test_a_provider_without_a_pool_is_not_chosen_where_others_do():
    free = [pool(n, host="host") for n in (1, 3)]
    result = in_placement(free, [pci_request(2)], serving=[pool(2, host="host"), *free])
    assert builders.numbers(result.choices[0].gpus) == [1, 3]


def test_tags_that_contradict_placement_are_told():
    free = [pool(n, T4, host="host") for n in (1, 2)]
    result = in_placement(free, [pci_request(2)], serving=free)
    assert result.refusal.reason is Reason.PLACEMENT
    assert "not free and matching" in result.refusal.detail


def test_a_host_that_does_not_fit_although_both_agree_says_why():
    free = [pool(n, host="host", gpu_link_group=f"group{n}") for n in (1, 2)]
    spec = request_spec(pci_request(2), in_placement=True, extra_specs={"gpu:link": "required"})
    state = host_state("host", free)
    state.allocation_candidates = builders.candidates(state, spec)
    assert assess(state, requests.read(spec, (), ())).refusal.reason is Reason.LINK


def test_without_pci_in_placement_the_pools_alone_tell():
    state = host_state("host", [pool(1)])
    state.allocation_candidates = [builders.candidate({}, {state.uuid: {"VCPU": 1}})]
    result = assess(state, requests.read(request_spec(pci_request()), (), ()))
    assert result.union is None
    assert builders.numbers(result.choices[0].gpus) == [1]


def test_an_alias_by_resource_class_alone_is_for_gpus_if_all_that_placement_names_are():
    free = [pool(1, host="host"), pool(2, NIC, host="host")]
    spec = {"resource_class": "CUSTOM_GPU"}
    assert in_placement(free, [pci_request(spec=spec)], serving=free[:1]).request.gpus
    assert not in_placement(free, [pci_request(spec=spec)], serving=free[1:]).request.gpus


def cut(free, *asked, named):
    """The answer where the list of candidates is cut: it names only some of the free devices."""
    state = host_state("host", free)
    spec = request_spec(*asked, in_placement=True)
    sent = builders.candidates(state, spec, serving=named)
    state.allocation_candidates = sent[:1]
    return assess(state, requests.read(spec, (), ()))


def test_a_cut_list_is_complemented_where_that_serves_the_server_better():
    free = [pool(n, node=n // 2, host="host") for n in range(4)]
    nics = [pool(10 + n, NIC, node=n // 2, host="host") for n in range(4)]
    gpus, nic = pci_request(2), pci_request(1, NIC, alias="nic")
    named = {gpus.alias_name: free[1:3], "nic": nics[:1]}
    result = cut(free + nics, gpus, nic, named=named)
    best = result.choices[0]
    assert builders.numbers(best.gpus) in ([0, 1], [2, 3])
    (near,) = best.devices[nic.request_id]
    assert near.numa_node == best.gpus[0].numa_node
    # Devices that Placement did not name take what their likes take.
    (written,) = result.union.write([Fitted(result.host, result.request, best)])
    assert len(written["allocations"]) == 4
    assert {name for a in written["allocations"].values() for name in a["resources"]} == {
        "VCPU",
        "MEMORY_MB",
        *(name for amounts in result.union.resources.values() for name in amounts),
    }


def test_a_cut_list_is_taken_as_it_is_where_that_serves_as_well():
    free = [pool(n, host="host") for n in range(4)]
    gpus = pci_request(2)
    for _ in range(10):
        result = cut(free, gpus, named={gpus.alias_name: free[1:3]})
        assert builders.numbers(result.choices[0].gpus) == [1, 2]


def test_a_whole_list_is_never_complemented():
    free = [pool(n, node=n // 2, host="host") for n in range(4)]
    result = in_placement(free, [pci_request(2)], serving=free[1:3])
    assert builders.numbers(result.choices[0].gpus) == [1, 2]


@pytest.mark.parametrize(
    ("free", "asked"),
    [
        ([pool(0, host="host", one_time_use="true")], pci_request(2)),
        ([pool(0, host="host", gpu_model="other")], pci_request(2)),
        ([pool(0, host="host")], pci_request(2, {**builders.H100, "traits": "CUSTOM_FAST"})),
    ],
)
def test_what_placement_may_have_reasons_not_to_name_is_not_added(free, asked):
    named = [pool(1, node=0, host="host"), pool(2, node=1, host="host")]
    result = cut(free + named, asked, named={asked.alias_name: named})
    assert builders.numbers(result.choices[0].gpus) == [1, 2]


def read_of(numa=None, other_groups=None, shared=False):
    """The union where the candidates behind the first have another rest: VCPU for PCPU, say."""
    free = [pool(n, host="host") for n in range(4)]
    state = host_state("host", free, [builders.cell(0, pcpus=8)])
    spec = request_spec(pci_request(4), in_placement=True, numa=numa)
    sent = builders.candidates(state, spec)
    for one in sent[1:]:
        (root,) = one["mappings"][""]
        one["allocations"][root]["resources"] = {"OTHER": 1}
    for one in sent if other_groups or shared else ():
        one["mappings"].update(other_groups or {})
        one["allocations"]["another"] = {"resources": {"DISK_GB": 1}}
    state.allocation_candidates = sent
    return assess(state, requests.read(spec, (), ())).union


def test_nothing_is_read_behind_the_candidate_that_names_the_last_free_device():
    union = read_of()
    assert len(union.rests) == 1
    assert not union.truncated


@pytest.mark.parametrize(
    "case",
    [
        {"numa": builders.guest_numa((0, 4, 4096))},
        {"other_groups": {"port": ["another"]}},
        {"shared": True},
    ],
)
def test_all_is_read_where_candidates_may_differ_in_more_than_devices(case):
    assert len(read_of(**case).rests) == 2
