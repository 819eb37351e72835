# SPDX-License-Identifier: Apache-2.0
from nova_gpu_passthrough.cloud.apply import change as diff
from nova_gpu_passthrough.cloud.apply.change import Action, Change, Kind


def test_no_changes_are_no_text():
    assert diff.text([], "paris") == ""


def test_things_of_one_line_are_shown_together():
    changes = [
        Change(Kind.TRAIT, "CUSTOM_A", Action.CREATE, None, {}),
        Change(Kind.TRAIT, "CUSTOM_B", Action.DELETE, {}, None),
        Change(Kind.REGISTERED_LIMIT, "servers", Action.UPDATE, {"limit": 1}, {"limit": 2}),
    ]
    assert diff.text(changes, "paris").splitlines() == [
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


def test_a_flavor_is_a_file_of_its_own_with_context():
    before = {"vcpus": 2, "ram_mib": 1024, "extra_specs": {"hw:x": "1"}}
    after = {**before, "extra_specs": {"hw:x": "2"}}
    changes = [Change(Kind.FLAVOR, "f", Action.UPDATE, before, after)]
    assert diff.text(changes, "paris").splitlines() == [
        "--- flavor f (cloud)",
        "+++ flavor f (fleet paris)",
        "@@ -1,4 +1,4 @@",
        " vcpus: 2",
        " ram_mib: 1024",
        " extra_specs:",
        "-  hw:x: '1'",
        "+  hw:x: '2'",
    ]


def test_what_is_made_and_deleted_is_compared_with_nothing():
    made = Change(Kind.FLAVOR, "f", Action.CREATE, None, {"vcpus": 2})
    deleted = Change(Kind.FLAVOR, "f", Action.DELETE, {"vcpus": 2}, None)
    assert "--- /dev/null\n+++ flavor f (fleet paris)\n" in diff.text([made], "paris")
    assert "--- flavor f (cloud)\n+++ /dev/null\n" in diff.text([deleted], "paris")


def test_a_flavor_that_is_made_anew_says_so():
    change = Change(Kind.FLAVOR, "f", Action.REPLACE, {"vcpus": 2}, {"vcpus": 4})
    assert "(fleet paris; deleted and made again with the same id)" in diff.text([change], "paris")
