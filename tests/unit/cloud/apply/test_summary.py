# SPDX-License-Identifier: Apache-2.0
"""Plans and outcomes in a few lines."""

from nova_gpu_passthrough.cloud.apply import summary
from nova_gpu_passthrough.cloud.apply.change import Action, Change, ResourceKind, SkippedChange
from nova_gpu_passthrough.cloud.apply.plan import Plan
from nova_gpu_passthrough.fleet.desired_state import DesiredState

STATE = DesiredState("paris")
FLAVOR, AGGREGATE = ResourceKind.FLAVOR, ResourceKind.AGGREGATE


def _change(action, name="a", kind=FLAVOR):
    return Change(kind, name, action, {}, {})


def _lines(**parts):
    return list(summary.plan_lines(Plan(STATE, **parts)))


def _skipped(name, reason="why", foreign=False, kind=FLAVOR):
    return SkippedChange(kind, name, reason, foreign)


def test_objects_are_counted_by_what_happens_to_them():
    changes = (
        _change(Action.CREATE, "a"),
        _change(Action.CREATE, "b"),
        _change(Action.UPDATE, "c"),
        _change(Action.REPLACE, "d"),
        _change(Action.DELETE, "e"),
    )
    assert _lines(changes=changes) == ["Plan: 2 to add, 2 to change, 1 to delete"]


def test_an_object_that_changes_in_several_steps_counts_once():
    steps = [_change(Action.UPDATE, kind=AGGREGATE)] * 3
    assert str(summary.ChangeCounts.of(steps)) == "0 added, 1 changed, 0 deleted"


def test_without_changes_the_cloud_matches():
    assert _lines() == ["the cloud matches fleet paris: nothing to change"]


def test_one_skipped_change_is_in_the_same_line():
    assert _lines(skipped=(_skipped("a"),)) == [
        "nothing to do now; 1 change skipped: flavor a: why"
    ]
    plan = {"changes": (_change(Action.CREATE),), "skipped": (_skipped("b"),)}
    assert _lines(**plan) == [
        "Plan: 1 to add, 0 to change, 0 to delete; 1 change skipped: flavor b: why"
    ]


def test_each_reason_is_given_once_with_its_objects():
    skipped = (
        _skipped("a"),
        _skipped("g", kind=AGGREGATE),
        _skipped("b"),
        _skipped("b"),
        _skipped("c", "other"),
        _skipped("X", "gone", kind=ResourceKind.RESOURCE_CLASS),
        _skipped("Y", "gone", kind=ResourceKind.RESOURCE_CLASS),
    )
    assert _lines(skipped=skipped) == [
        "nothing to do now; 7 changes skipped:",
        "  flavors a, b: why",
        "  aggregate g: why",
        "  flavor c: other",
        "  resource classes X, Y: gone",
    ]


def test_objects_that_only_prune_deletes_are_no_skipped_changes():
    skipped = (_skipped("a", foreign=True), _skipped("b", "other", foreign=True))
    assert Plan(STATE, skipped=skipped).is_matched
    assert _lines(skipped=skipped) == [
        "the cloud matches fleet paris: nothing to change",
        "2 objects left alone:",
        "  flavor a: why",
        "  flavor b: other",
    ]
    assert not Plan(STATE, skipped=(*skipped, _skipped("c"))).is_matched


def test_the_outcome_has_what_was_refused_and_skipped():
    done, plan = (_change(Action.CREATE),), Plan(STATE, skipped=(_skipped("b"),))
    assert summary.outcome_line(done, 0, Plan(STATE)) == "Applied: 1 added, 0 changed, 0 deleted"
    assert summary.outcome_line(done, 2, plan) == (
        "Applied: 1 added, 0 changed, 0 deleted; 2 refused; 1 change skipped"
    )
