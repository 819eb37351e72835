# SPDX-License-Identifier: Apache-2.0
"""Unified limits in Keystone."""

import pytest

from nova_gpu_passthrough.cloud.apply.unified_limits import LimitScope, limit_scope
from nova_gpu_passthrough.cloud.apply.writer import CloudWriter
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet.desired_state import DesiredState, ProjectName
from tests.unit.cloud.apply.builders import H100, RESEARCH, TEACHING, limit
from tests.unit.cloud.apply.direct import Killed

PLACE = {"service_id": "id-compute", "region_id": "RegionOne"}


GPUS = f"class:{H100}"


def _desired(*limits, unlimited=()):
    return DesiredState("paris", limits=limits, unlimited=unlimited, aliases={"h100": H100})


#: Without quotas in the fleet file.
UNLIMITED = _desired(unlimited=(GPUS,))


@pytest.fixture
def keystone(direct):
    return direct.keystone


@pytest.fixture
def set_by_hand(keystone):
    """Limits that someone set, the registered one first."""

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
    """Return all limits by resource and project."""

    def read():
        limits = {
            one["resource_name"]: one["default_limit"]
            for one in keystone.registered_limits.values()
        }
        return limits | {
            (one["resource_name"], one["project_id"]): one["resource_limit"]
            for one in keystone.limits.values()
        }

    return read


def test_a_registered_limit_is_created_before_project_limits(apply, values, keystone):
    assert apply(_desired(limit(0), limit(4, RESEARCH))).changes == ()
    assert values() == {GPUS: 0, (GPUS, "id-research"): 4}
    (one,) = keystone.registered_limits.values()
    assert {key: one[key] for key in PLACE} == PLACE


def test_values_are_changed(apply, values):
    apply(_desired(limit(0), limit(4, RESEARCH)))
    assert apply(_desired(limit(0), limit(8, RESEARCH))).changes == ()
    assert values() == {GPUS: 0, (GPUS, "id-research"): 8}


def test_a_project_limit_becomes_0_although_keystone_ignores_that(apply, values):
    apply(_desired(limit(2), limit(4, RESEARCH)))
    assert apply(_desired(limit(2), limit(0, RESEARCH))).changes == ()
    assert values() == {GPUS: 2, (GPUS, "id-research"): 0}


def test_limits_may_be_unlimited(apply, values):
    apply(_desired(limit(-1), limit(-1, RESEARCH)))
    assert values() == {GPUS: -1, (GPUS, "id-research"): -1}


def test_a_registered_limit_with_project_limits_is_changed(direct, apply, values):
    apply(_desired(limit(0), limit(4, RESEARCH), limit(0, TEACHING)))
    state = _desired(limit(1), limit(4, RESEARCH), limit(2, TEACHING))
    assert direct.plan(state).notes[0] == (
        f"registered limit {GPUS}: the limits of research, teaching are deleted for a moment and "
        "created again: Keystone changes no registered limit that project limits refer to"
    )
    assert apply(state).changes == ()
    assert values() == {GPUS: 1, (GPUS, "id-research"): 4, (GPUS, "id-teaching"): 2}


@pytest.mark.parametrize("nth", range(1, 6))
def test_project_limits_are_created_again_after_a_kill(direct, apply, values, nth):
    apply(_desired(limit(0), limit(4, RESEARCH), limit(3, TEACHING)))
    start = direct.changing

    def kill(now, what):
        if now == start + nth:
            raise Killed

    state = _desired(limit(1), limit(4, RESEARCH), limit(3, TEACHING))
    direct.after = kill
    with pytest.raises(Killed):
        direct.apply(state)
    direct.after = lambda number, what: None
    assert apply(state).changes == ()
    assert values() == {GPUS: 1, (GPUS, "id-research"): 4, (GPUS, "id-teaching"): 3}
    apply(_desired())
    assert values() == {}


def test_a_registered_limit_with_foreign_project_limits_stays(apply, values, set_by_hand, reasons):
    set_by_hand(10, "servers", research=20)
    state = _desired(limit(30, resource="servers"))
    assert apply(state).changes == ()
    assert values() == {"servers": 10, ("servers", "id-research"): 20}
    assert reasons(state) == [
        (
            "registered limit servers: it stays 10, not 30: Keystone does not change it while "
            "projects outside the fleet file have their own limits (research); delete these, or "
            "name the projects in the fleet file"
        )
    ]
    assert apply(state, prune=True).changes == ()
    assert values() == {"servers": 10, ("servers", "id-research"): 20}


def test_foreign_project_limits_on_gpus_are_reported_and_pruned(
    apply, values, set_by_hand, reasons
):
    set_by_hand(0, research=4, teaching=9)
    state = _desired(limit(1), limit(4, RESEARCH))
    assert apply(state).changes == ()
    assert values()[GPUS] == 0
    (changed, foreign) = sorted(reasons(state), reverse=True)
    assert "have their own limits (teaching)" in changed
    assert foreign == (
        f"project limit {GPUS} of teaching: not in the fleet file, though it limits GPUs of the "
        "fleet; --prune deletes it"
    )
    assert apply(state, prune=True).skipped == ()
    assert values() == {GPUS: 1, (GPUS, "id-research"): 4}


def test_limits_are_ignored_if_the_file_has_no_quotas(direct, set_by_hand):
    set_by_hand(0, research=4)
    plan = direct.plan(_desired(), prune=True)
    assert (plan.changes, plan.skipped) == ((), ())
    assert not [what for what in direct.requested if "limits" in what]


@pytest.fixture
def unified(direct):
    """Let Nova use unified limits."""
    direct.nova.unified_limits = direct.keystone.registered_limits


def test_without_quotas_gpus_get_a_registered_limit_that_refuses_nobody(direct, apply, unified):
    (change,) = direct.plan(UNLIMITED).changes
    assert (str(change.kind), change.name, change.after) == (
        "registered limit",
        GPUS,
        {"limit": -1},
    )
    assert apply(UNLIMITED).changes == ()


def test_without_quotas_an_existing_registered_limit_stays(
    direct, apply, unified, values, set_by_hand
):
    set_by_hand(0, research=4)
    assert apply(UNLIMITED, prune=True).skipped == ()
    assert values() == {GPUS: 0, (GPUS, "id-research"): 4}
    assert direct.changing == 0


def test_with_novas_own_quotas_no_limit_is_created(direct):
    """Nova's default quotas are not Keystone's registered limits."""
    assert direct.plan(UNLIMITED).changes == ()


def test_without_quotas_no_error_is_made_of_limits_that_cannot_be_read(direct, unified):
    direct.keystone.endpoints = {}
    assert direct.plan(UNLIMITED).changes == ()
    with pytest.raises(UserError, match="0 services of type compute"):
        direct.plan(_desired(limit(1)))


def test_quotas_can_be_added_and_removed(apply, unified, values):
    for state, expected in (
        (UNLIMITED, {GPUS: -1}),
        (_desired(limit(0), limit(4, RESEARCH)), {GPUS: 0, (GPUS, "id-research"): 4}),
        (UNLIMITED, {GPUS: -1}),
        (_desired(), {}),
    ):
        plan = apply(state)
        assert (plan.changes, plan.skipped) == ((), ())
        assert values() == expected


def test_an_adopted_limit_stays_once_quotas_are_removed(apply, unified, values, set_by_hand):
    set_by_hand(3)
    apply(_desired(limit(2)))
    for options in ({}, {"prune": True}):
        plan = apply(UNLIMITED, **options)
        assert (plan.changes, plan.skipped) == ((), ())
        assert values() == {GPUS: 2}


def test_limits_that_apply_created_are_deleted(apply, values):
    apply(_desired(limit(0), limit(4, RESEARCH), limit(1, TEACHING)))
    apply(_desired(limit(0), limit(1, TEACHING)))
    assert values() == {GPUS: 0, (GPUS, "id-teaching"): 1}
    apply(_desired())
    assert values() == {}


def test_adopted_limits_stay_with_their_new_value(apply, values, set_by_hand, reasons):
    set_by_hand(0, research=4)
    apply(_desired(limit(1), limit(5, RESEARCH)))
    apply(_desired())
    assert values() == {GPUS: 1, (GPUS, "id-research"): 5}
    assert len(reasons(_desired())) == 2
    apply(_desired(), prune=True)
    assert values() == {}


def test_a_registered_limit_is_not_deleted_while_projects_have_their_own(
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
            "registered limit servers: not in the fleet file any more, but projects have their "
            "own limits"
        )
    ]


def test_limits_of_other_regions_stay(apply, keystone):
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


def test_an_unknown_project_is_skipped(direct, apply, values, reasons):
    state = _desired(limit(0), limit(4, ProjectName("lab")))
    apply(state)
    assert values() == {GPUS: 0}
    assert reasons(state) == [
        f"project limit {GPUS}: there is no project lab; run apply again once it exists"
    ]
    direct.keystone.add_project("lab")
    apply(state)
    assert values() == {GPUS: 0, (GPUS, "id-lab"): 4}


def test_a_project_limit_needs_a_registered_limit(apply, values, reasons, set_by_hand):
    state = _desired(limit(4, RESEARCH, "servers"))
    assert apply(state).changes == ()
    assert reasons(state) == [
        (
            "project limit servers of research: a project limit needs a registered limit, and "
            "Keystone has none for this resource: add a default quota to the fleet file"
        )
    ]
    set_by_hand(10, "servers")
    apply(state)
    assert values() == {"servers": 10, ("servers", "id-research"): 4}


def test_limits_created_by_others_at_the_same_time_are_adopted_and_changed(
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


def test_a_truncated_list_of_limits_is_an_error(direct, keystone):
    answer = keystone.answer

    def truncate(method, path, request):
        status, body = answer(method, path, request)
        return status, {**body, "truncated": True} if "limits" in path else body

    keystone.answer = truncate
    with pytest.raises(UserError, match="limits: Keystone returns only some of the limits: raise"):
        direct.plan(_desired(limit(0)))


@pytest.fixture
def scope(cloud):
    return lambda **options: limit_scope(CloudWriter(cloud.connection(**options)))


def _services(cloud, *names):
    services = [{"id": f"id-{name}", "name": name, "type": "compute"} for name in names]
    cloud.fail("GET .*/services", 200, {"services": services})


def _endpoints(cloud, *regions):
    endpoints = [{"id": region, "region_id": region} for region in regions]
    cloud.fail("GET .*/endpoints", 200, {"endpoints": endpoints})


def test_the_scope_is_nova_in_the_named_region(scope):
    assert scope() == LimitScope("id-compute", "RegionOne")


def test_without_a_region_the_only_one_of_nova_is_used(cloud, scope):
    _endpoints(cloud, "RegionTwo", "RegionTwo")
    assert scope(region_name=None) == LimitScope("id-compute", "RegionTwo")


@pytest.mark.parametrize(("regions", "words"), [(("A", "B"), "A, B"), ((), "none")])
def test_an_ambiguous_region_is_an_error(cloud, scope, regions, words):
    _endpoints(cloud, *regions)
    with pytest.raises(UserError, match=f"Nova is in {words}: name one with --os-region-name"):
        scope(region_name=None)


def test_of_several_services_the_one_named_nova_is_used(cloud, scope):
    _services(cloud, "nova-old", "nova")
    assert scope().service == "id-nova"


@pytest.mark.parametrize("names", [(), ("a", "b")])
def test_an_ambiguous_service_is_an_error(cloud, scope, names):
    _services(cloud, *names)
    with pytest.raises(UserError, match=f"Keystone has {len(names)} services of type compute"):
        scope()
