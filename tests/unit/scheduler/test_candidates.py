# SPDX-License-Identifier: Apache-2.0
"""Taking Placement's candidates apart and writing better ones."""

import copy
import json

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from nova_gpu_passthrough.scheduler import candidates
from nova_gpu_passthrough.scheduler.candidates import (
    Candidate,
    Fitted,
    HostCandidates,
    MalformedCandidatesError,
)
from nova_gpu_passthrough.topology.choice import Cost
from nova_gpu_passthrough.topology.fit import DeviceChoice
from tests.unit import strategies
from tests.unit.builders import candidate, gpu, gpu_request, host_gpus

GROUPS = {"gpu": ("gpu-0", "gpu-1")}
ROOT = {"root": {"VCPU": 4, "MEMORY_MB": 4096}}


def fitted(providers, **others):
    """A choice of devices of these providers, for the alias ``gpu`` and others."""
    gpus = tuple(
        gpu(n, provider=provider)._replace(ordinal=n) for n, provider in enumerate(providers)
    )
    devices = {"gpu": gpus}
    for alias, names in others.items():
        devices[alias] = tuple(gpu(0x40 + n, provider=name) for n, name in enumerate(names))
    choice = DeviceChoice(devices, gpus, Cost(0, 0, 1, 1, 0, (0, 0, 0, 0), 0), 0)
    return Fitted(host_gpus(gpus), gpu_request(len(gpus)), choice)


def pairs(*chosen, others=ROOT, mappings=None):
    """Candidates for two GPUs each."""
    rest = {"": ["root"]} if mappings is None else mappings
    return [candidate({"gpu-0": a, "gpu-1": b}, others, rest) for a, b in chosen]


def test_the_union_names_every_provider():
    union = candidates.read(pairs("ab", "ba", "ac", "bd"), GROUPS)
    assert list(union.providers["gpu"]) == ["a", "b", "c", "d"]
    assert union.resources == {name: {"PGPU": 1} for name in "abcd"}
    assert len(union.rests) == 1
    assert union.malformed == 0


def test_aliases_have_unions_of_their_own():
    groups = {"gpu": ("gpu-0",), "audio": ("audio-0",)}
    sent = [candidate({"gpu-0": g, "audio-0": a}, ROOT) for g, a in ("ax", "by", "ay", "bx")]
    union = candidates.read(sent, groups)
    assert {alias: set(names) for alias, names in union.providers.items()} == {
        "gpu": {"a", "b"},
        "audio": {"x", "y"},
    }


def test_a_device_new_for_one_alias_is_not_overlooked():
    groups = {"one": ("one-0",), "two": ("two-0",)}
    sent = [candidate({"one-0": x, "two-0": y}, ROOT) for x, y in ("ab", "ba")]
    union = candidates.read(sent, groups)
    assert [set(names) for names in union.providers.values()] == [{"a", "b"}, {"a", "b"}]


def test_any_choice_can_be_written_whether_placement_listed_it_or_not():
    union = candidates.read(pairs("ab", "cd"), GROUPS)
    (written,) = union.write([fitted("ad")])
    assert written == candidate({"gpu-0": "a", "gpu-1": "d"}, ROOT, {"": ["root"]})


def test_what_is_written_for_a_listed_choice_is_what_placement_sent():
    sent = pairs("ab", "ba", "bc")
    union = candidates.read(copy.deepcopy(sent), GROUPS)
    assert union.write([fitted("ab"), fitted("bc")]) == [sent[0], sent[2]]


def test_all_else_stays_untouched():
    others = {
        "root": {"PCPU": 4, "MEMORY_MB": 4096},
        "shared-storage": {"DISK_GB": 20},
        "nic": {"NET_BW_EGR_KILOBIT_PER_SEC": 1000},
    }
    rest = {"": ["root", "shared-storage"], "port-uuid": ["nic"], "_T1": ["root"]}
    union = candidates.read(pairs("ab", "ac", others=others, mappings=rest), GROUPS)
    (written,) = union.write([fitted("bc")])
    assert written == candidate({"gpu-0": "b", "gpu-1": "c"}, others, rest)


def test_keys_of_later_placement_versions_are_kept():
    sent = pairs("ab")
    sent[0]["allocations"]["root"]["generation"] = 7
    (written,) = candidates.read(sent, GROUPS).write([fitted("ab")])
    assert written["allocations"]["root"] == {"resources": ROOT["root"], "generation": 7}


def test_each_family_of_vcpus_is_written_in_its_order():
    pinned = pairs("ab", "ba", others={"root": {"PCPU": 4}})
    shared = pairs("ab", "bc", others={"root": {"VCPU": 4}})
    union = candidates.read(pinned + shared, GROUPS)
    written = union.write([fitted("bc"), fitted("ab")])
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

    union = candidates.read(with_port("nic1") + with_port("nic2"), GROUPS)
    assert [one["mappings"]["port"] for one in union.write([fitted("ab")])] == [["nic1"], ["nic2"]]


def test_a_changed_mapping_alone_is_another_rest():
    first = pairs("ab", mappings={"": ["root"], "port": ["root"]})
    second = pairs("ab", mappings={"": ["root"], "port": ["other"]})
    assert len(candidates.read(first + second, GROUPS).rests) == 2


def test_vfs_of_one_pf_sum_up():
    union = candidates.read(pairs("ab", "aa"), GROUPS)
    (written,) = union.write([fitted("aa")])
    assert written["allocations"]["a"] == {"resources": {"PGPU": 2}}
    assert written["mappings"]["gpu-0"] == written["mappings"]["gpu-1"] == ["a"]


def test_one_vf_of_a_pf_that_was_only_listed_twice_takes_one():
    union = candidates.read(pairs("aa", "bb"), GROUPS)
    (written,) = union.write([fitted("ab")])
    assert written["allocations"]["a"] == {"resources": {"PGPU": 1}}


def test_a_provider_of_devices_and_of_the_rest_forbids_rewriting():
    sent = pairs("ab", mappings={"": ["root"], "port": ["a"]})
    assert not candidates.read(sent, GROUPS).separable
    assert candidates.read(pairs("ab"), GROUPS).separable


def test_a_candidate_remembers_the_full_union():
    union = candidates.read(pairs("ab", "cd"), GROUPS)
    written = union.write([fitted("ab")])
    assert candidates.read(written, GROUPS) is union


def test_a_candidate_is_a_plain_dict_to_everybody_else():
    (written,) = candidates.read(pairs("ab"), GROUPS).write([fitted("ab")])
    assert isinstance(written, dict)
    assert written == dict(written) == pairs("ab")[0]
    assert json.loads(json.dumps(written)) == written
    copied = copy.deepcopy(written)
    assert type(copied) is dict
    assert copied == written
    copied["mappings"]["gpu-0"].append("x")
    assert written == pairs("ab")[0]


def test_candidates_share_nothing_that_a_later_filter_might_change():
    sent = pairs("ab")
    union = candidates.read(sent, GROUPS)
    first, second = union.write([fitted("ab"), fitted("ab")])
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
def test_a_broken_candidate_among_good_ones_is_left_out(broken):
    union = candidates.read([broken, *pairs("ab")], GROUPS)
    assert union.malformed == 1
    assert list(union.providers["gpu"]) == ["a", "b"]


def test_candidates_without_mappings_are_told():
    with pytest.raises(
        MalformedCandidatesError, match="none of 2 allocation candidates .*mappings"
    ):
        candidates.read([{"allocations": {}}, {"allocations": {}}], GROUPS)


@settings(max_examples=250)
@given(strategies.broken_candidates(("gpu-0", "gpu-1"), ("a", "b", "c")) | strategies.json_values)
def test_junk_is_read_or_refused(junk):
    try:
        union = candidates.read(junk, GROUPS)
    except MalformedCandidatesError as error:
        event("refused")
        assert "allocation candidates" in str(error)
        return
    event("read")
    assert isinstance(union, HostCandidates)
    names = list(union.providers["gpu"])
    assert set(names) == set(union.resources)
    if len(names) >= 2:
        assert all(type(one) is Candidate for one in union.write([fitted(names[:2])]))


@settings(max_examples=150)
@given(
    st.lists(st.lists(st.sampled_from("abcde"), min_size=2, max_size=2), min_size=1, max_size=12),
    st.lists(st.sampled_from("abcde"), min_size=2, max_size=2),
)
def test_reading_what_was_written_gives_the_same(sent, chosen):
    union = candidates.read(pairs(*sent), GROUPS)
    assert set(union.providers["gpu"]) == {name for pair in sent for name in pair}
    if set(chosen) <= set(union.providers["gpu"]):
        (written,) = union.write([fitted(chosen)])
        assert written == pairs(chosen)[0]
