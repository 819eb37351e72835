# SPDX-License-Identifier: Apache-2.0
"""Aggregates whose hosts only some projects use."""

import pytest

from nova_gpu_passthrough.cloud.apply import record
from nova_gpu_passthrough.cloud.apply.record import Record
from nova_gpu_passthrough.fleet import isolation
from nova_gpu_passthrough.fleet.desired_state import DesiredState, ProjectName
from tests.unit.cloud.apply.builders import RESEARCH, TEACHING, aggregate

GHOST = ProjectName("ghost")
KEY = "filter_tenant_id"


def _desired(*projects, **metadata):
    return DesiredState("paris", aggregates=(aggregate(projects=projects or None, **metadata),))


@pytest.fixture
def metadata(direct):
    """Return the metadata of the only aggregate."""
    return lambda: next(iter(direct.nova.aggregates.values()))["metadata"]


@pytest.fixture
def by_hand(direct):
    """An aggregate that someone created."""

    def make(**metadata):
        one = {"id": 1, "uuid": "uuid-1", "name": "gpu-h100", "availability_zone": None}
        direct.nova.aggregates["1"] = {**one, "hosts": ["gpu01", "gpu02"], "metadata": metadata}

    return make


def test_each_project_has_a_key(direct, apply, metadata):
    state = _desired(TEACHING, RESEARCH, k="v")
    (change,) = direct.plan(state).changes
    assert change.after["projects"] == ["research", "teaching"]
    assert change.after["metadata"] == {"k": "v"}
    assert apply(state).changes == ()
    assert metadata() == {
        f"{KEY}:id-research": "id-research",
        f"{KEY}:id-teaching": "id-teaching",
        "k": "v",
    }


def test_hosts_join_after_the_projects_are_set(direct, apply):
    apply(_desired(RESEARCH))
    actions = [what for what in direct.requested if what.endswith("/action")]
    assert len(actions) == 3
    request = next(iter(direct.nova.aggregates.values()))
    assert request["hosts"] == ["gpu01", "gpu02"]


def test_the_change_of_projects_is_shown_by_name(direct, apply, metadata):
    apply(_desired(RESEARCH))
    (change,) = direct.plan(_desired(TEACHING)).changes
    assert change.summary == "update projects: [research] -> [teaching]"
    apply(_desired(TEACHING))
    assert metadata() == {f"{KEY}:id-teaching": "id-teaching"}


def test_new_projects_are_set_before_old_ones_are_removed(direct, apply, metadata):
    """Nova would otherwise let every project use the hosts in between."""
    apply(_desired(RESEARCH))
    seen = []
    direct.after = lambda number, what: seen.append(isolation.project_ids(metadata()))
    apply(_desired(TEACHING))
    assert seen == [{"id-research", "id-teaching"}, {"id-teaching"}]


def test_without_projects_the_hosts_are_for_everyone_again(direct, apply, metadata):
    apply(_desired(RESEARCH))
    (change,) = direct.plan(_desired()).changes
    assert change.summary == "update projects: [research] -> nothing"
    apply(_desired())
    assert metadata() == {}


def test_projects_that_somebody_else_named_are_removed(apply, by_hand, metadata):
    by_hand(filter_tenant_id="id-teaching", theirs="1")
    assert apply(_desired(RESEARCH)).skipped == ()
    assert metadata() == {f"{KEY}:id-research": "id-research", "theirs": "1"}


def test_the_same_projects_in_another_form_stay(direct, apply, by_hand, metadata):
    by_hand(filter_tenant_id="id-teaching, id-research")
    assert direct.plan(_desired(RESEARCH, TEACHING)).changes == ()
    (change,) = direct.plan(_desired(RESEARCH)).changes
    assert change.summary == "update projects: [research, teaching] -> [research]"


def test_without_projects_in_the_file_those_of_others_stay(direct, apply, by_hand, metadata):
    by_hand(filter_tenant_id="id-teaching")
    assert apply(_desired()).changes == ()
    assert metadata() == {KEY: "id-teaching"}


def test_a_project_that_does_not_exist_is_skipped(direct, apply, metadata, reasons):
    state = _desired(RESEARCH, GHOST)
    apply(state)
    assert metadata() == {f"{KEY}:id-research": "id-research"}
    assert reasons(state) == [
        (
            "aggregate gpu-h100: there is no project ghost, so it may not use the hosts; run apply "
            "again once it exists"
        )
    ]


def test_nobody_may_use_the_hosts_while_no_project_exists(direct, apply, metadata):
    state = _desired(GHOST)
    (change,) = direct.plan(state).changes
    assert change.after["projects"] == []
    assert apply(state).changes == ()
    assert isolation.project_ids(metadata()) == frozenset()
    # AggregateMultiTenancyIsolation needs a value to keep others away.
    assert metadata() == {f"{KEY}:none": "none"}
    direct.keystone.add_project("ghost")
    assert apply(state).skipped == ()
    assert metadata() == {f"{KEY}:id-ghost": "id-ghost"}


def test_a_deleted_project_is_shown_by_its_id(direct, apply):
    apply(_desired(RESEARCH))
    del direct.keystone.projects["id-research"]
    (change,) = direct.plan(_desired(TEACHING)).changes
    assert change.summary == "update projects: [id-research] -> [teaching]"


def test_the_record_has_the_projects(direct, apply, tmp_path):
    apply(_desired(RESEARCH))
    path = tmp_path / "record.yaml"
    record.save(path, direct.record)
    loaded = record.load(path)
    assert isinstance(loaded, Record)
    assert loaded == direct.record
