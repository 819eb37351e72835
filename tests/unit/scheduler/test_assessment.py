# SPDX-License-Identifier: Apache-2.0
"""Fit requests to HostStates."""

import pytest

from nova_gpu_passthrough.scheduler import pools, requests
from nova_gpu_passthrough.scheduler.assessment import assess
from nova_gpu_passthrough.scheduler.candidates import HostChoice
from nova_gpu_passthrough.topology.fit import FitReason
from tests.unit import builders
from tests.unit.builders import AUDIO, NIC, T4, host_state, pci_request, pool, request_spec


def assess_pools(free, *pci_requests, host_cells=(), **kwargs):
    state = host_state("host", free, host_cells)
    return assess(state, requests.read(request_spec(*pci_requests, **kwargs), (), ()))


def assess_in_placement(free, pci_requests, serving=None, sent=None):
    """Return the assessment where Placement tracks the devices and lists those in ``serving``."""
    state = host_state("host", free)
    spec = request_spec(*pci_requests, in_placement=True)
    named = None if serving is None else {one.alias_name: serving for one in pci_requests}
    state.allocation_candidates = builders.candidates(state, spec, serving=named) or sent
    return assess(state, requests.read(spec, (), ()))


def test_gpus_of_the_alias_are_offered():
    result = assess_pools([pool(1), pool(2, T4), pool(3, NIC)], pci_request())
    ((gpus,),) = [list(result.host.gpus.values())]
    assert builders.numbers(gpus) == [1]
    assert builders.numbers(result.choices[0].gpus) == [1]


def test_the_model_tag_makes_an_unknown_device_a_gpu():
    result = assess_pools([pool(1, NIC, gpu_model="research")], pci_request(spec=NIC))
    assert builders.numbers(result.choices[0].gpus) == [1]


def test_an_alias_for_other_devices_is_not_a_gpu_request():
    result = assess_pools([pool(1, NIC)], pci_request(spec=NIC))
    assert not result.choices
    assert result.refusal is None
    assert not result.request.gpus


def test_an_alias_that_gpus_and_other_devices_match_is_not_a_gpu_request():
    result = assess_pools([pool(1, NIC), pool(2)], pci_request(spec={}))
    assert not result.request.gpus


def test_an_alias_that_nothing_matches_is_refused_if_it_certainly_requests_gpus():
    assert assess_pools([pool(1, T4)], pci_request()).refusal.reason is FitReason.NO_GPUS
    assert assess_pools([pool(1, T4)], pci_request(spec=NIC)).refusal is None


@pytest.mark.parametrize("count", [0, 65])
def test_invalid_counts_are_refused(count):
    refusal = assess_pools([pool(n) for n in range(70)], pci_request(count)).refusal
    assert refusal.reason is FitReason.INVALID_REQUEST
    assert f"{count} devices requested" in refusal.detail


def test_a_host_without_pci_statistics_has_no_gpus():
    state = host_state()
    state.pci_stats = None
    request = requests.read(request_spec(pci_request()), (), ())
    assert assess(state, request).refusal.reason is FitReason.NO_GPUS


def test_a_malformed_pool_raises():
    with pytest.raises(pools.MalformedPoolError):
        assess_pools([pool(1), pool(2, count=-1)], pci_request())


def test_devices_of_other_aliases_are_chosen_near_the_gpus():
    free = [pool(1, gpu_card="c"), pool(1, AUDIO, function=1, gpu_card="c"), pool(3)]
    result = assess_pools(free, pci_request(), pci_request(1, AUDIO, "audio"))
    assert builders.numbers(result.choices[0].gpus) == [1]


def test_cards_with_free_companions_are_avoided_unless_requested():
    free = [pool(1, gpu_card="c"), pool(1, AUDIO, function=1, gpu_card="c"), pool(3)]
    assert builders.numbers(assess_pools(free, pci_request()).choices[0].gpus) == [3]


def test_guest_cells_are_fitted_on_host_cells():
    host_cells = [builders.cell(0, pcpus=2), builders.cell(1, pcpus=8)]
    numa = builders.guest_numa_topology((0, 4, 64))
    result = assess_pools(
        [pool(1, node=0), pool(2, node=1)], pci_request(), host_cells=host_cells, numa=numa
    )
    assert [builders.numbers(choice.gpus) for choice in result.choices] == [[2]]


def test_free_huge_pages_count_when_other_guests_overcommit_memory():
    free_pages = builders.pages(2048, 16)
    host_cell = builders.cell(0, pcpus=8, memory=1024, memory_used=2000, mempages=[free_pages])
    numa = builders.guest_numa_topology((0, 4, 32))
    result = assess_pools([pool(1)], pci_request(), host_cells=[host_cell], numa=numa)
    assert result.choices
    numa = builders.guest_numa_topology((0, 4, 64))
    result = assess_pools([pool(1)], pci_request(), host_cells=[host_cell], numa=numa)
    assert result.refusal.reason is FitReason.GUEST_NUMA


def test_only_devices_that_placement_lists_are_offered():
    free = [pool(n, host="host") for n in (1, 2, 3)]
    result = assess_in_placement(free, [pci_request()], serving=free[1:2])
    assert builders.numbers(result.choices[0].gpus) == [2]


def test_devices_outside_placement_are_not_offered_where_placement_tracks_them():
    free = [pool(1), pool(2, host="host")]
    result = assess_in_placement(free, [pci_request()], serving=free[1:])
    assert builders.numbers(result.choices[0].gpus) == [2]


def test_a_mismatch_of_placement_and_pools_is_refused_with_numbers():
    free = [pool(1, host="host")]
    gone = pool(2, host="host")
    result = assess_in_placement(free, [pci_request(2)], serving=[*free, gone])
    assert result.refusal.reason is FitReason.PLACEMENT
    assert "lists 2 devices, but 1 of them are not free" in result.refusal.detail
    assert gone["rp_uuid"] in result.refusal.detail


def test_a_provider_without_a_pool_is_not_chosen_if_others_suffice():
    free = [pool(n, host="host") for n in (1, 3)]
    result = assess_in_placement(free, [pci_request(2)], serving=[pool(2, host="host"), *free])
    assert builders.numbers(result.choices[0].gpus) == [1, 3]


def test_devices_that_do_not_match_the_alias_are_a_mismatch_with_placement():
    free = [pool(n, T4, host="host") for n in (1, 2)]
    result = assess_in_placement(free, [pci_request(2)], serving=free)
    assert result.refusal.reason is FitReason.PLACEMENT
    assert "not free and matching" in result.refusal.detail


def test_a_host_without_mismatch_is_refused_for_the_reason_of_the_fit():
    free = [pool(n, host="host", gpu_link_group=f"group{n}") for n in (1, 2)]
    spec = request_spec(pci_request(2), in_placement=True, extra_specs={"gpu:link": "required"})
    state = host_state("host", free)
    state.allocation_candidates = builders.candidates(state, spec)
    assert assess(state, requests.read(spec, (), ())).refusal.reason is FitReason.LINK


def test_without_pci_in_placement_only_the_pools_count():
    state = host_state("host", [pool(1)])
    state.allocation_candidates = [builders.candidate({}, {state.uuid: {"VCPU": 1}})]
    result = assess(state, requests.read(request_spec(pci_request()), (), ()))
    assert result.host_candidates is None
    assert builders.numbers(result.choices[0].gpus) == [1]


def test_an_alias_by_resource_class_requests_gpus_if_placement_lists_only_gpus():
    free = [pool(1, host="host"), pool(2, NIC, host="host")]
    spec = {"resource_class": "CUSTOM_GPU"}
    assert assess_in_placement(free, [pci_request(spec=spec)], serving=free[:1]).request.gpus
    assert not assess_in_placement(free, [pci_request(spec=spec)], serving=free[1:]).request.gpus


def assess_truncated(free, *pci_requests, named, **extra_specs):
    """Return the assessment for a truncated list of candidates with some of the free devices."""
    state = host_state("host", free)
    extra_specs = {key.replace("__", ":"): value for key, value in extra_specs.items()}
    spec = request_spec(*pci_requests, in_placement=True, extra_specs=extra_specs)
    sent = builders.candidates(state, spec, serving=named)
    state.allocation_candidates = sent[:1]
    return assess(state, requests.read(spec, (), ()))


def test_unlisted_devices_are_added_if_the_listed_ones_of_several_aliases_do_not_fit():
    free = [pool(n, node=n // 2, host="host", gpu_link_group=f"pair{n // 2}") for n in range(4)]
    nics = [pool(10 + n, NIC, node=n // 2, host="host") for n in range(4)]
    gpus, nic = pci_request(2), pci_request(1, NIC, alias="nic")
    named = {gpus.alias_name: free[1:3], "nic": nics[:1]}
    result = assess_truncated(free + nics, gpus, nic, named=named, gpu__link="required")
    best = result.choices[0]
    assert builders.numbers(best.gpus) in ([0, 1], [2, 3])
    (near,) = best.devices[nic.request_id]
    assert near.numa_node == best.gpus[0].numa_node
    # Devices that Placement did not list consume what the listed ones consume.
    (written,) = result.host_candidates.write([HostChoice(result.host, result.request, best)])
    assert len(written["allocations"]) == 4
    assert {name for a in written["allocations"].values() for name in a["resources"]} == {
        "VCPU",
        "MEMORY_MB",
        *(name for amounts in result.host_candidates.resources.values() for name in amounts),
    }


def test_unlisted_devices_are_not_added_if_the_listed_ones_fit():
    # Placement may have reserved the others: the claim would fail.
    free = [pool(n, node=n // 2, host="host") for n in range(4)]
    nics = [pool(10 + n, NIC, node=n // 2, host="host") for n in range(4)]
    gpus, nic = pci_request(2), pci_request(1, NIC, alias="nic")
    named = {gpus.alias_name: free[1:3], "nic": nics[:1]}
    result = assess_truncated(free + nics, gpus, nic, named=named)
    assert builders.numbers(result.choices[0].gpus) == [1, 2]


def test_unlisted_devices_are_never_added_for_one_alias():
    free = [pool(n, host="host", gpu_link_group=f"pair{n // 2}") for n in range(4)]
    gpus = pci_request(2)
    for wishes in ({}, {"gpu__link": "required"}):
        result = assess_truncated(free, gpus, named={gpus.alias_name: free[1:3]}, **wishes)
        assert [builders.numbers(choice.gpus) for choice in result.choices] == (
            [] if wishes else [[1, 2]]
        )


@pytest.mark.parametrize("listed", [(1, 2), (2, 1), (1, 1), (2, 2)])
def test_no_more_vfs_of_a_provider_are_offered_than_placement_has(listed):
    pools = [pool(n, count=2, host="host", dev_type="type-VF") for n in range(2)]
    serving = [{**one, "count": count} for one, count in zip(pools, listed, strict=True)]
    result = assess_in_placement(pools, [pci_request(2)], serving=serving)
    (gpus,) = result.host.gpus.values()
    offered = [sum(gpu.address == one["address"] for gpu in gpus) for one in pools]
    assert offered == [min(count, 2) for count in listed]


def test_aliases_that_share_providers_are_offered_all_vfs_that_candidates_have():
    pools = [pool(n, count=4, host="host", dev_type="type-VF") for n in range(2)]
    state = host_state("host", pools)
    requested = [pci_request(1, alias="a"), pci_request(2, alias="b")]
    spec = request_spec(*requested, in_placement=True)
    names = [group.requester_id for group in spec.requested_resources]
    state.allocation_candidates = [
        builders.candidate(
            {name: pools[number]["rp_uuid"] for name, number in zip(names, numbers, strict=True)},
            {state.uuid: {"VCPU": 4}},
            {"": [state.uuid]},
        )
        # The first two take at most two VFs of a provider, as many as each alias alone can.
        for numbers in ((0, 0, 1), (1, 1, 0), (0, 0, 0), (1, 1, 1))
    ]
    result = assess(state, requests.read(spec, (), ()))
    assert [len(gpus) for gpus in result.host.gpus.values()] == [6, 6]


def test_unlisted_devices_are_never_added_to_a_complete_list():
    free = [pool(n, node=n // 2, host="host") for n in range(4)]
    result = assess_in_placement(free, [pci_request(2)], serving=free[1:3])
    assert builders.numbers(result.choices[0].gpus) == [1, 2]


@pytest.mark.parametrize(
    ("free", "pci_requests"),
    [
        ([pool(0, host="host", one_time_use="true")], pci_request(2)),
        ([pool(0, host="host", gpu_model="other")], pci_request(2)),
        ([pool(0, host="host")], pci_request(2, {**builders.H100, "traits": "CUSTOM_FAST"})),
    ],
)
def test_devices_that_placement_may_exclude_are_not_added(free, pci_requests):
    named = [pool(1, node=0, host="host"), pool(2, node=1, host="host")]
    result = assess_truncated(free + named, pci_requests, named={pci_requests.alias_name: named})
    assert builders.numbers(result.choices[0].gpus) == [1, 2]


def host_candidates_of(numa=None, other_groups=None, shared=False):
    """Read candidates of which all but the first allocate something else, such as VCPU for PCPU."""
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
    return assess(state, requests.read(spec, (), ())).host_candidates


def test_reading_stops_at_the_candidate_that_lists_the_last_free_device():
    host_candidates = host_candidates_of()
    assert len(host_candidates.other_resources) == 1
    assert not host_candidates.truncated


@pytest.mark.parametrize(
    "case",
    [
        {"numa": builders.guest_numa_topology((0, 4, 4096))},
        {"other_groups": {"port": ["another"]}},
        {"shared": True},
    ],
)
def test_all_candidates_are_read_if_they_may_differ_in_more_than_devices(case):
    assert len(host_candidates_of(**case).other_resources) == 2
