# SPDX-License-Identifier: Apache-2.0
"""Unified limits, as they become in Keystone."""

import pytest

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet.desired import Desired, ProjectName
from tests.unit.cloud.apply.builders import H100, RESEARCH, TEACHING, limit
from tests.unit.cloud.apply.direct import Killed

PLACE = {"service_id": "id-compute", "region_id": "RegionOne"}
GPUS = f"class:{H100}"


def _desired(*limits):
    return Desired("paris", limits=limits, aliases={"h100": H100})


@pytest.fixture
def keystone(direct):
    return direct.keystone


@pytest.fixture
def set_by_hand(keystone):
    """Limits that somebody set, the registered one first."""

    def make(registered, resource=GPUS, **projects):
        one = {"resource_name": resource, **PLACE}
        key = f"r-{resource}"
        keystone.registered_limits[key] = {"id": key, "default_limit": registered, **one}
        for project, value in projects.items():
            key = f"p-{resource}-{project}"
            more = {"id": key, "project_id": f"id-{project}", "resource_limit": value}
            keystone.limits[key] = {**more, **one}

    return make


@pytest.fixture
def values(keystone):
    """All limits by resource and project."""

    def read():
        found = {
            one["resource_name"]: one["default_limit"]
            for one in keystone.registered_limits.values()
        }
        return found | {
            (one["resource_name"], one["project_id"]): one["resource_limit"]
            for one in keystone.limits.values()
        }

    return read


def test_a_limit_for_all_comes_before_those_of_projects(apply, values, keystone):
    assert apply(_desired(limit(0), limit(4, RESEARCH))).changes == ()
    assert values() == {GPUS: 0, (GPUS, "id-research"): 4}
    (one,) = keystone.registered_limits.values()
    assert {key: one[key] for key in PLACE} == PLACE


def test_values_are_changed(apply, values):
    apply(_desired(limit(0), limit(4, RESEARCH)))
    assert apply(_desired(limit(0), limit(8, RESEARCH))).changes == ()
    assert values() == {GPUS: 0, (GPUS, "id-research"): 8}


def test_a_projects_limit_can_become_0_which_keystone_does_not_change(apply, values):
    apply(_desired(limit(2), limit(4, RESEARCH)))
    assert apply(_desired(limit(2), limit(0, RESEARCH))).changes == ()
    assert values() == {GPUS: 2, (GPUS, "id-research"): 0}


def test_unlimited_is_a_limit(apply, values):
    apply(_desired(limit(-1), limit(-1, RESEARCH)))
    assert values() == {GPUS: -1, (GPUS, "id-research"): -1}


def test_a_limit_for_all_is_changed_although_projects_have_theirs(direct, apply, values):
    apply(_desired(limit(0), limit(4, RESEARCH), limit(0, TEACHING)))
    wanted = _desired(limit(1), limit(4, RESEARCH), limit(2, TEACHING))
    assert direct.plan(wanted).notes[0] == (
        f"registered limit {GPUS}: the limits of research, teaching are deleted for a moment and "
        "made anew: Keystone changes no registered limit that has any"
    )
    assert apply(wanted).changes == ()
    assert values() == {GPUS: 1, (GPUS, "id-research"): 4, (GPUS, "id-teaching"): 2}


@pytest.mark.parametrize("number", range(1, 6))
def test_limits_that_were_taken_away_for_a_moment_come_back(direct, apply, values, number):
    apply(_desired(limit(0), limit(4, RESEARCH), limit(3, TEACHING)))
    start = direct.changing

    def kill(now, what):
        if now == start + number:
            raise Killed

    wanted = _desired(limit(1), limit(4, RESEARCH), limit(3, TEACHING))
    direct.after = kill
    with pytest.raises(Killed):
        direct.apply(wanted)
    direct.after = lambda number, what: None
    assert apply(wanted).changes == ()
    assert values() == {GPUS: 1, (GPUS, "id-research"): 4, (GPUS, "id-teaching"): 3}
    apply(_desired())
    assert values() == {}


def test_a_limit_for_all_stays_while_others_have_theirs(apply, values, set_by_hand, reasons):
    set_by_hand(10, "servers", research=20)
    wanted = _desired(limit(30, resource="servers"))
    assert apply(wanted).changes == ()
    assert values() == {"servers": 10, ("servers", "id-research"): 20}
    assert reasons(wanted) == [
        (
            "registered limit servers: it stays 10, not 30: Keystone does not change it while "
            "others than the fleet file's projects have limits of their own (research); delete "
            "these, or name the projects in the fleet file"
        )
    ]
    assert apply(wanted, prune=True).changes == ()
    assert values() == {"servers": 10, ("servers", "id-research"): 20}


def test_other_projects_limits_on_the_fleets_gpus_are_told_and_pruned(
    apply, values, set_by_hand, reasons
):
    set_by_hand(0, research=4, teaching=9)
    wanted = _desired(limit(1), limit(4, RESEARCH))
    assert apply(wanted).changes == ()
    assert values()[GPUS] == 0
    (changed, foreign) = sorted(reasons(wanted), reverse=True)
    assert "have limits of their own (teaching)" in changed
    assert foreign == (
        f"project limit {GPUS} of teaching: not in the fleet file, though on GPUs of the fleet; "
        "--prune deletes it"
    )
    assert apply(wanted, prune=True).held == ()
    assert values() == {GPUS: 1, (GPUS, "id-research"): 4}


def test_without_quotas_in_the_file_limits_are_none_of_its_business(direct, set_by_hand):
    set_by_hand(0, research=4)
    plan = direct.plan(_desired(), prune=True)
    assert (plan.changes, plan.held) == ((), ())
    assert not [what for what in direct.asked if "limits" in what]


def test_what_it_made_goes_with_the_fleet_file(apply, values):
    apply(_desired(limit(0), limit(4, RESEARCH), limit(1, TEACHING)))
    apply(_desired(limit(0), limit(1, TEACHING)))
    assert values() == {GPUS: 0, (GPUS, "id-teaching"): 1}
    apply(_desired())
    assert values() == {}


def test_what_was_there_stays_with_its_new_value(apply, values, set_by_hand, reasons):
    set_by_hand(0, research=4)
    apply(_desired(limit(1), limit(5, RESEARCH)))
    apply(_desired())
    assert values() == {GPUS: 1, (GPUS, "id-research"): 5}
    assert len(reasons(_desired())) == 2
    apply(_desired(), prune=True)
    assert values() == {}


def test_a_limit_for_all_that_it_made_stays_while_projects_have_theirs(
    direct, apply, values, keystone, reasons
):
    apply(_desired(limit(3, resource="servers")))
    keystone.limits["x"] = {
        "id": "x",
        "project_id": "id-research",
        "resource_limit": 1,
        "resource_name": "servers",
        **PLACE,
    }
    apply(_desired())
    assert values()["servers"] == 3
    assert reasons(_desired()) == [
        (
            "registered limit servers: not in the fleet file any more, but projects have limits "
            "of their own"
        )
    ]


def test_limits_of_other_regions_and_services_are_left_alone(apply, keystone):
    other = {
        "id": "x",
        "service_id": "id-compute",
        "region_id": "RegionTwo",
        "resource_name": GPUS,
        "default_limit": 7,
    }
    keystone.registered_limits["x"] = dict(other)
    apply(_desired(limit(0)))
    apply(_desired())
    assert keystone.registered_limits == {"x": other}


def test_a_project_that_is_not_there_waits(direct, apply, values, reasons):
    wanted = _desired(limit(0), limit(4, ProjectName("lab")))
    apply(wanted)
    assert values() == {GPUS: 0}
    assert reasons(wanted) == [
        f"project limit {GPUS}: there is no project lab; run apply again once there is"
    ]
    direct.keystone.add_project("lab")
    apply(wanted)
    assert values() == {GPUS: 0, (GPUS, "id-lab"): 4}


def test_a_projects_limit_needs_one_for_all(apply, values, reasons, set_by_hand):
    wanted = _desired(limit(4, RESEARCH, "servers"))
    assert apply(wanted).changes == ()
    assert reasons(wanted) == [
        (
            "project limit servers of research: Keystone has no registered limit of it, which a "
            "project's limit needs: give the fleet file a default quota"
        )
    ]
    set_by_hand(10, "servers")
    apply(wanted)
    assert values() == {"servers": 10, ("servers", "id-research"): 4}


def test_limits_made_at_the_same_time_are_theirs_with_the_files_value(
    direct, apply, values, set_by_hand
):
    def make(number, what):
        if what == "POST /registered_limits":
            set_by_hand(9)

    direct.before = make
    assert apply(_desired(limit(1))).changes == ()
    direct.before = lambda number, what: None
    apply(_desired())
    assert values() == {GPUS: 1}


def test_a_part_of_the_limits_is_not_taken_for_all(direct, keystone):
    answer = keystone.answer

    def truncate(method, path, request):
        status, body = answer(method, path, request)
        return status, {**body, "truncated": True} if "limits" in path else body

    keystone.answer = truncate
    with pytest.raises(UserError, match="limits: Keystone shows only some of the limits: raise"):
        direct.plan(_desired(limit(0)))
