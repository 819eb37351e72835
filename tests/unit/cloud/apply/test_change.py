# SPDX-License-Identifier: Apache-2.0
"""The summary of a change, and the diff of several."""

from nova_gpu_passthrough.cloud.apply.change import Action, Change, ResourceKind, render_diff


def _summary(before, after, action=Action.UPDATE):
    return Change(ResourceKind.FLAVOR, "f", action, before, after).summary


def test_a_summary_lists_only_the_differences():
    before = {"vcpus": 2, "ram_mib": 1024, "extra_specs": {"a": "1", "b": "2"}}
    after = {"vcpus": 4, "ram_mib": 1024, "extra_specs": {"a": "1", "c": "3"}}
    assert _summary(before, after) == (
        "update vcpus: 2 -> 4, extra_specs.b: 2 -> nothing, extra_specs.c: nothing -> 3"
    )


def test_a_summary_of_lists_shows_both():
    assert _summary({"hosts": ["a"]}, {"hosts": ["a", "b"]}) == "update hosts: [a] -> [a, b]"


def test_the_summary_of_a_creation_or_deletion_is_its_action():
    assert _summary(None, {"vcpus": 2}, Action.CREATE) == "create"
    assert _summary({"vcpus": 2}, None, Action.DELETE) == "delete"


def test_the_diff_of_no_changes_is_empty():
    assert render_diff([], "paris") == ""


def test_objects_with_one_line_share_a_list():
    changes = [
        Change(ResourceKind.TRAIT, "CUSTOM_A", Action.CREATE, None, {}),
        Change(ResourceKind.TRAIT, "CUSTOM_B", Action.DELETE, {}, None),
        Change(ResourceKind.REGISTERED_LIMIT, "servers", Action.UPDATE, {"limit": 1}, {"limit": 2}),
    ]
    assert render_diff(changes, "paris").splitlines() == [
        "--- traits (cloud)",
        "+++ traits (fleet paris)",
        "@@",
        "+CUSTOM_A",
        "-CUSTOM_B",
        "--- registered limits (cloud)",
        "+++ registered limits (fleet paris)",
        "@@",
        "-servers: 1",
        "+servers: 2",
    ]


def test_a_flavor_is_a_separate_file_with_context():
    before = {"vcpus": 2, "ram_mib": 1024, "extra_specs": {"hw:x": "1"}}
    after = {**before, "extra_specs": {"hw:x": "2"}}
    changes = [Change(ResourceKind.FLAVOR, "f", Action.UPDATE, before, after)]
    assert render_diff(changes, "paris").splitlines() == [
        "--- flavor f (cloud)",
        "+++ flavor f (fleet paris)",
        "@@ -1,4 +1,4 @@",
        " vcpus: 2",
        " ram_mib: 1024",
        " extra_specs:",
        "-  hw:x: '1'",
        "+  hw:x: '2'",
    ]


def test_created_and_deleted_objects_are_compared_with_dev_null():
    made = Change(ResourceKind.FLAVOR, "f", Action.CREATE, None, {"vcpus": 2})
    deleted = Change(ResourceKind.FLAVOR, "f", Action.DELETE, {"vcpus": 2}, None)
    assert "--- /dev/null\n+++ flavor f (fleet paris)\n" in render_diff([made], "paris")
    assert "--- flavor f (cloud)\n+++ /dev/null\n" in render_diff([deleted], "paris")


def test_the_diff_marks_a_replaced_flavor():
    change = Change(ResourceKind.FLAVOR, "f", Action.REPLACE, {"vcpus": 2}, {"vcpus": 4})
    assert "(fleet paris; deleted and created again with the same id)" in render_diff(
        [change], "paris"
    )
