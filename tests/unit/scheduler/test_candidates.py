# SPDX-License-Identifier: Apache-2.0
"""Read Placement's allocation candidates and write better ones."""

import copy
import json

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from nova_gpu_passthrough.scheduler import candidates
from nova_gpu_passthrough.scheduler.candidates import (
    AllocationCandidate,
    HostCandidates,
    HostChoice,
    MalformedCandidatesError,
)
from nova_gpu_passthrough.topology.fit import DeviceChoice
from nova_gpu_passthrough.topology.search import Cost
from tests.unit import strategies
from tests.unit.builders import candidate, gpu, gpu_request, host_gpus

GROUPS = {"gpu": ("gpu-0", "gpu-1")}
ROOT = {"root": {"VCPU": 4, "MEMORY_MB": 4096}}


def host_choice(providers, **others):
    """Return a choice of devices of these providers, for the alias ``gpu`` and others."""
    gpus = tuple(
        gpu(n, provider=provider)._replace(ordinal=n) for n, provider in enumerate(providers)
    )
    devices = {"gpu": gpus}
    for alias, names in others.items():
        devices[alias] = tuple(gpu(0x40 + n, provider=name) for n, name in enumerate(names))
    choice = DeviceChoice(devices, gpus, Cost(0, 0, 0, 1, 1, 0, (0, 0, 0, 0), 0), 0)
    return HostChoice(host_gpus(gpus), gpu_request(len(gpus)), choice)


def pairs(*chosen, others=ROOT, mappings=None):
    """Return candidates for two GPUs each."""
    rest = {"": ["root"]} if mappings is None else mappings
    return [candidate({"gpu-0": a, "gpu-1": b}, others, rest) for a, b in chosen]


def test_every_listed_provider_is_read():
    host_candidates = candidates.read(pairs("ab", "ba", "ac", "bd"), GROUPS)
    assert list(host_candidates.providers["gpu"]) == ["a", "b", "c", "d"]
    assert host_candidates.resources == {name: {"PGPU": 1} for name in "abcd"}
    assert len(host_candidates.other_resources) == 1
    assert host_candidates.malformed == 0


def test_providers_are_read_by_alias():
    groups = {"gpu": ("gpu-0",), "audio": ("audio-0",)}
    sent = [candidate({"gpu-0": g, "audio-0": a}, ROOT) for g, a in ("ax", "by", "ay", "bx")]
    host_candidates = candidates.read(sent, groups)
    assert {alias: set(names) for alias, names in host_candidates.providers.items()} == {
        "gpu": {"a", "b"},
        "audio": {"x", "y"},
    }


def test_a_device_can_be_listed_for_several_aliases():
    groups = {"one": ("one-0",), "two": ("two-0",)}
    sent = [candidate({"one-0": x, "two-0": y}, ROOT) for x, y in ("ab", "ba")]
    host_candidates = candidates.read(sent, groups)
    assert [set(names) for names in host_candidates.providers.values()] == [{"a", "b"}, {"a", "b"}]


def test_a_choice_that_placement_did_not_list_is_written():
    host_candidates = candidates.read(pairs("ab", "cd"), GROUPS)
    (written,) = host_candidates.write([host_choice("ad")])
    assert written == candidate({"gpu-0": "a", "gpu-1": "d"}, ROOT, {"": ["root"]})


def test_a_listed_choice_is_written_as_placement_sent_it():
    sent = pairs("ab", "ba", "bc")
    host_candidates = candidates.read(copy.deepcopy(sent), GROUPS)
    assert host_candidates.write([host_choice("ab"), host_choice("bc")]) == [sent[0], sent[2]]


def test_other_resources_are_not_changed():
    others = {
        "root": {"PCPU": 4, "MEMORY_MB": 4096},
        "shared-storage": {"DISK_GB": 20},
        "nic": {"NET_BW_EGR_KILOBIT_PER_SEC": 1000},
    }
    rest = {"": ["root", "shared-storage"], "port-uuid": ["nic"], "_T1": ["root"]}
    host_candidates = candidates.read(pairs("ab", "ac", others=others, mappings=rest), GROUPS)
    (written,) = host_candidates.write([host_choice("bc")])
    assert written == candidate({"gpu-0": "b", "gpu-1": "c"}, others, rest)


def test_keys_of_later_placement_versions_are_kept():
    sent = pairs("ab")
    sent[0]["allocations"]["root"]["generation"] = 7
    (written,) = candidates.read(sent, GROUPS).write([host_choice("ab")])
    assert written["allocations"]["root"] == {"resources": ROOT["root"], "generation": 7}


def test_alternatives_with_pcpu_and_vcpu_are_written_in_their_order():
    pinned = pairs("ab", "ba", others={"root": {"PCPU": 4}})
    shared = pairs("ab", "bc", others={"root": {"VCPU": 4}})
    host_candidates = candidates.read(pinned + shared, GROUPS)
    written = host_candidates.write([host_choice("bc"), host_choice("ab")])
    assert [
        (one["mappings"]["gpu-0"], one["allocations"]["root"]["resources"]) for one in written
    ] == [
        (["b"], {"PCPU": 4}),
        (["b"], {"VCPU": 4}),
        (["a"], {"PCPU": 4}),
        (["a"], {"VCPU": 4}),
    ]


def test_alternatives_of_a_neutron_port_are_all_written():
    def with_port(nic):
        return pairs("ab", others={**ROOT, nic: {"VF": 1}}, mappings={"port": [nic]})

    host_candidates = candidates.read(with_port("nic1") + with_port("nic2"), GROUPS)
    assert [one["mappings"]["port"] for one in host_candidates.write([host_choice("ab")])] == [
        ["nic1"],
        ["nic2"],
    ]


def test_another_mapping_alone_is_an_alternative():
    first = pairs("ab", mappings={"": ["root"], "port": ["root"]})
    second = pairs("ab", mappings={"": ["root"], "port": ["other"]})
    assert len(candidates.read(first + second, GROUPS).other_resources) == 2


def test_amounts_of_vfs_of_one_pf_are_added():
    host_candidates = candidates.read(pairs("ab", "aa"), GROUPS)
    (written,) = host_candidates.write([host_choice("aa")])
    assert written["allocations"]["a"] == {"resources": {"PGPU": 2}}
    assert written["mappings"]["gpu-0"] == written["mappings"]["gpu-1"] == ["a"]


def test_one_vf_of_a_pf_that_was_listed_twice_per_candidate_consumes_one():
    host_candidates = candidates.read(pairs("aa", "bb"), GROUPS)
    (written,) = host_candidates.write([host_choice("ab")])
    assert written["allocations"]["a"] == {"resources": {"PGPU": 1}}


def test_a_provider_of_devices_and_of_other_resources_prevents_rewriting():
    sent = pairs("ab", mappings={"": ["root"], "port": ["a"]})
    assert not candidates.read(sent, GROUPS).rewritable
    assert candidates.read(pairs("ab"), GROUPS).rewritable


def test_a_written_candidate_keeps_all_candidates_of_the_host():
    host_candidates = candidates.read(pairs("ab", "cd"), GROUPS)
    written = host_candidates.write([host_choice("ab")])
    assert candidates.read(written, GROUPS) is host_candidates


def test_a_written_candidate_behaves_as_a_dict():
    (written,) = candidates.read(pairs("ab"), GROUPS).write([host_choice("ab")])
    assert isinstance(written, dict)
    assert written == dict(written) == pairs("ab")[0]
    assert json.loads(json.dumps(written)) == written
    copied = copy.deepcopy(written)
    assert type(copied) is dict
    assert copied == written
    copied["mappings"]["gpu-0"].append("x")
    assert written == pairs("ab")[0]


def test_written_candidates_share_no_mutable_data():
    sent = pairs("ab")
    host_candidates = candidates.read(sent, GROUPS)
    first, second = host_candidates.write([host_choice("ab"), host_choice("ab")])
    first["allocations"]["root"]["resources"]["VCPU"] = 99
    first["mappings"][""].append("x")
    first["mappings"]["gpu-0"].append("x")
    first["allocations"]["a"]["resources"]["PGPU"] = 9
    assert second == sent[0] == pairs("ab")[0]


@pytest.mark.parametrize(
    "broken",
    [
        None,
        {},
        {"allocations": {}},
        {"mappings": {}},
        {"allocations": {}, "mappings": {"gpu-0": ["a"], "gpu-1": ["b"]}},
        {"allocations": {"a": {}, "b": {}}, "mappings": {"gpu-0": ["a"], "gpu-1": ["b"]}},
        {"allocations": {}, "mappings": {"gpu-0": [], "gpu-1": []}},
    ],
)
def test_a_malformed_candidate_among_others_is_ignored(broken):
    host_candidates = candidates.read([broken, *pairs("ab")], GROUPS)
    assert host_candidates.malformed == 1
    assert list(host_candidates.providers["gpu"]) == ["a", "b"]


def test_candidates_without_mappings_raise():
    with pytest.raises(
        MalformedCandidatesError, match="none of 2 allocation candidates .*mappings"
    ):
        candidates.read([{"allocations": {}}, {"allocations": {}}], GROUPS)


@settings(max_examples=250)
@given(strategies.broken_candidates(("gpu-0", "gpu-1"), ("a", "b", "c")) | strategies.json_values)
def test_malformed_candidates_are_read_or_refused(junk):
    try:
        host_candidates = candidates.read(junk, GROUPS)
    except MalformedCandidatesError as error:
        event("refused")
        assert "allocation candidates" in str(error)
        return
    event("read")
    assert isinstance(host_candidates, HostCandidates)
    names = list(host_candidates.providers["gpu"])
    assert set(names) == set(host_candidates.resources)
    if len(names) >= 2:
        assert all(
            type(one) is AllocationCandidate
            for one in host_candidates.write([host_choice(names[:2])])
        )


@settings(max_examples=150)
@given(
    st.lists(st.lists(st.sampled_from("abcde"), min_size=2, max_size=2), min_size=1, max_size=12),
    st.lists(st.sampled_from("abcde"), min_size=2, max_size=2),
)
def test_any_listed_pair_is_written_as_placement_would_send_it(sent, chosen):
    host_candidates = candidates.read(pairs(*sent), GROUPS)
    assert set(host_candidates.providers["gpu"]) == {name for pair in sent for name in pair}
    if set(chosen) <= set(host_candidates.providers["gpu"]):
        (written,) = host_candidates.write([host_choice(chosen)])
        assert written == pairs(chosen)[0]
