# SPDX-License-Identifier: Apache-2.0
from nova_gpu_passthrough.cloud.apply.change import Action, Change, Kind


def _summary(before, after, action=Action.UPDATE):
    return Change(Kind.FLAVOR, "f", action, before, after).summary


def test_a_summary_tells_what_differs_and_nothing_else():
    before = {"vcpus": 2, "ram_mib": 1024, "extra_specs": {"a": "1", "b": "2"}}
    after = {"vcpus": 4, "ram_mib": 1024, "extra_specs": {"a": "1", "c": "3"}}
    assert _summary(before, after) == (
        "update vcpus: 2 -> 4, extra_specs.b: 2 -> nothing, extra_specs.c: nothing -> 3"
    )


def test_a_summary_of_lists_shows_both():
    assert _summary({"hosts": ["a"]}, {"hosts": ["a", "b"]}) == "update hosts: [a] -> [a, b]"


def test_what_is_made_or_deleted_has_no_differences_to_tell():
    assert _summary(None, {"vcpus": 2}, Action.CREATE) == "create"
    assert _summary({"vcpus": 2}, None, Action.DELETE) == "delete"
