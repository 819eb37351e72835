# SPDX-License-Identifier: Apache-2.0
import json

import pytest
from nova.compute import pci_placement_translator

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet import aliases
from nova_gpu_passthrough.fleet.model import AliasRule
from nova_gpu_passthrough.fleet.offers import choose
from nova_gpu_passthrough.fleet.settings import Settings
from tests.unit.generate import builders


def make(*hosts, **settings):
    offers, _ = choose(hosts, Settings(**settings))
    return aliases.make(offers, "legacy")


def names(made):
    return {alias.name: (alias.resource_class, str(alias.device_type)) for alias in made.values()}


def test_one_alias_per_model_and_companion():
    made, notes = make(builders.hgx(), builders.l40s("a"), builders.l40s("b"))
    assert names(made) == {
        "h100-sxm": ("CUSTOM_GPU_H100_SXM", "type-PF"),
        "l40s": ("CUSTOM_GPU_L40S", "type-PF"),
        "l40s-audio": ("CUSTOM_GPU_L40S_AUDIO", "type-PCI"),
    }
    assert notes == []


def test_an_alias_has_exactly_what_nova_allows():
    made, _ = make(builders.l40s(audio=False))
    (alias,) = made.values()
    assert json.loads(alias.to_json()) == {
        "name": "l40s",
        "device_type": "type-PF",
        "resource_class": "CUSTOM_GPU_L40S",
        "numa_policy": "legacy",
    }


def test_nics_have_aliases_by_their_ids():
    made, _ = make(builders.hgx(), nics=("0000:40:00.0",))
    assert names(made)["nic-15b3-1021"] == ("CUSTOM_NIC_15B3_1021", "type-PCI")


def test_a_model_of_two_device_types_has_two_aliases_and_a_note():
    other = builders.l40s("other", count=2, audio=False)
    for gpu in other.gpus:
        other = builders.changed(other, gpu.address, sriov_total_vfs=None)
    made, notes = make(builders.l40s(audio=False), other)
    # There are more PFs, so they keep the name without a suffix.
    assert names(made) == {
        "l40s": ("CUSTOM_GPU_L40S", "type-PF"),
        "l40s-type-pci": ("CUSTOM_GPU_L40S_TYPE_PCI", "type-PCI"),
    }
    (note,) = notes
    assert "l40s (type-PF), l40s-type-pci (type-PCI)" in note.text


def test_the_most_frequent_type_keeps_the_name_without_a_suffix():
    found = builders.l40s(count=4, audio=False)
    for gpu in found.gpus[:3]:
        found = builders.changed(found, gpu.address, sriov_total_vfs=None)
    made, _ = make(found)
    assert names(made)["l40s"][1] == "type-PCI"
    assert names(made)["l40s-type-pf"][1] == "type-PF"


def test_models_that_would_get_one_name_are_an_error():
    found = builders.inventory(
        devices=[
            builders.device("0000:01:00.0", ids="10de:1111"),
            builders.device("0000:02:00.0", ids="10de:2222"),
        ],
        gpus=[builders.gpu("0000:01:00.0", "X-1"), builders.gpu("0000:02:00.0", "X 1")],
    )
    with pytest.raises(UserError, match="models X-1 and X 1 would both be x-1"):
        make(found)


def test_a_model_without_letters_is_an_error():
    found = builders.inventory(
        devices=[builders.device("0000:01:00.0")], gpus=[builders.gpu("0000:01:00.0", "--")]
    )
    with pytest.raises(UserError, match="has no letter or digit"):
        make(found)


def test_a_rule_without_a_device_type_is_for_the_most_frequent_one():
    other = builders.l40s("other", count=2, audio=False)
    for gpu in other.gpus:
        other = builders.changed(other, gpu.address, sriov_total_vfs=None)
    offers, _ = choose((builders.l40s(audio=False), other), Settings())
    rules = (AliasRule("L40S", name="a"), AliasRule("L40S", device_type="type-PCI", name="b"))
    made, _ = aliases.make(offers, "legacy", rules)
    assert names(made) == {
        "a": ("CUSTOM_GPU_L40S", "type-PF"),
        "b": ("CUSTOM_GPU_L40S_TYPE_PCI", "type-PCI"),
    }


@pytest.mark.parametrize(
    "given, expected",
    [
        ("h100", "CUSTOM_H100"),
        ("CUSTOM_h100", "CUSTOM_H100"),
        ("PGPU", "PGPU"),
        ("gpu-h100", "CUSTOM_GPU_H100"),
    ],
)
def test_the_resource_class_of_a_rule_is_normalized_as_in_nova(given, expected):
    offers, _ = choose((builders.hgx(),), Settings())
    made, _ = aliases.make(offers, "legacy", (AliasRule("H100-SXM", resource_class=given),))
    (alias,) = made.values()
    assert alias.resource_class == expected
    assert pci_placement_translator.get_resource_class(given, "10de", "2330") == expected


def test_a_rule_without_a_matching_device_changes_nothing():
    offers, _ = choose((builders.hgx(),), Settings())
    rule = AliasRule("H100-SXM", kind="audio", name="x")
    assert aliases.make(offers, "legacy", (rule,)) == aliases.make(offers, "legacy")
    assert aliases.rule_key(rule, offers) is None
