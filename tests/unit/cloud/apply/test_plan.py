# SPDX-License-Identifier: Apache-2.0
"""A plan as a whole."""

import pytest

from nova_gpu_passthrough.cloud.apply import plan
from nova_gpu_passthrough.cloud.apply.change import Action, Kind
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet.desired import Desired
from tests.unit.cloud.apply.builders import desired, limit


def _done(made):
    return [(change.kind, change.action) for change in made.changes]


def test_things_are_made_before_what_needs_them(direct):
    assert _done(direct.plan(desired())) == [
        (Kind.TRAIT, Action.CREATE),
        (Kind.RESOURCE_CLASS, Action.CREATE),
        (Kind.AGGREGATE, Action.CREATE),
        (Kind.FLAVOR, Action.CREATE),
        (Kind.REGISTERED_LIMIT, Action.CREATE),
        (Kind.PROJECT_LIMIT, Action.CREATE),
    ]


def test_things_are_deleted_after_what_needs_them_and_last_of_all(direct, apply):
    apply(desired())
    made = direct.plan(Desired("paris", traits=("CUSTOM_NEW",)))
    assert _done(made) == [
        (Kind.TRAIT, Action.CREATE),
        (Kind.PROJECT_LIMIT, Action.DELETE),
        (Kind.REGISTERED_LIMIT, Action.DELETE),
        (Kind.FLAVOR, Action.DELETE),
        (Kind.AGGREGATE, Action.DELETE),
        (Kind.RESOURCE_CLASS, Action.DELETE),
        (Kind.TRAIT, Action.DELETE),
    ]


def test_a_plan_changes_nothing(direct):
    direct.plan(desired())
    assert direct.changing == 0


def test_a_plan_without_a_record_takes_all_for_somebody_elses(direct, apply):
    apply(desired())
    direct.record = type(direct.record)("paris", direct.record.cloud)
    assert apply(desired()).changes == ()
    assert direct.plan(Desired("paris")).changes == ()


def test_drift_is_what_differs_from_what_was_applied(direct, apply):
    """As nova-gpu drift asks for it."""
    apply(desired())
    assert direct.plan(direct.record.desired).changes == ()
    (one,) = direct.nova.flavors.values()
    one["extra_specs"]["hw:cpu_policy"] = "shared"
    (change,) = direct.plan(direct.record.desired).changes
    assert change.summary == "update extra_specs.hw:cpu_policy: shared -> dedicated"


def test_the_quota_driver_is_judged_where_there_are_limits(direct):
    assert "seems not to be nova.quota.UnifiedLimitsDriver" in direct.plan(desired()).notes[0]
    assert direct.plan(desired(limits=())).notes == ()


def test_a_real_connection_does_the_same(cloud):
    cloud.nova.add_compute("gpu01", cloud.placement.add_host("gpu01"))
    made = plan.make(cloud.connection(), desired())
    assert len(made.changes) == 6
    assert [held.name for held in made.held] == ["gpu-h100"]
    assert cloud.asked("^(POST|PUT|DELETE|PATCH)") == []


@pytest.mark.parametrize(
    ("pattern", "part", "service"),
    [
        ("GET .*/traits", "traits", "Placement"),
        ("GET .*/resource_classes", "resource classes", "Placement"),
        ("GET .*/os-services", "aggregates", "Nova"),
        ("GET .*/flavors", "flavors", "Nova"),
        ("GET .*/projects", "flavors", "Keystone"),
        ("GET .*/registered_limits", "limits", "Keystone"),
        ("GET .*/os-quota-class-sets", "limits", "Nova"),
    ],
)
def test_it_is_told_which_part_could_not_be_read(cloud, pattern, part, service):
    cloud.fail(pattern, 403)
    with pytest.raises(UserError, match=f"^{part}: .*{service} refused GET"):
        plan.make(cloud.connection(), desired())


def test_a_cloud_that_is_away_is_told_at_once(cloud):
    cloud.fail("GET .*/os-aggregates", 503)
    with pytest.raises(UserError, match="^aggregates: Nova at .* is not available just now"):
        plan.make(cloud.connection(), desired(limits=(limit(0),)))
    assert len(cloud.asked("os-aggregates")) == 1


def test_a_tenant_is_told_which_role_it_takes(cloud):
    cloud.fail("GET .*/traits", 403)
    with pytest.raises(UserError, match="^traits: this takes the role admin .* user alice has"):
        plan.make(cloud.connection("alice"), desired())
