# SPDX-License-Identifier: Apache-2.0
"""A plan as a whole."""

import pytest

from nova_gpu_passthrough.cloud.apply import comparison
from nova_gpu_passthrough.cloud.apply.change import Action, ResourceKind
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet.desired_state import DesiredState
from tests.unit.cloud.apply.builders import desired, limit


def _done(made):
    return [(change.kind, change.action) for change in made.changes]


def test_objects_are_created_before_those_that_need_them(direct):
    assert _done(direct.plan(desired())) == [
        (ResourceKind.TRAIT, Action.CREATE),
        (ResourceKind.RESOURCE_CLASS, Action.CREATE),
        (ResourceKind.AGGREGATE, Action.CREATE),
        (ResourceKind.FLAVOR, Action.CREATE),
        (ResourceKind.REGISTERED_LIMIT, Action.CREATE),
        (ResourceKind.PROJECT_LIMIT, Action.CREATE),
    ]


def test_deletions_come_last_in_reverse_order(direct, apply):
    apply(desired())
    made = direct.plan(DesiredState("paris", traits=("CUSTOM_NEW",)))
    assert _done(made) == [
        (ResourceKind.TRAIT, Action.CREATE),
        (ResourceKind.PROJECT_LIMIT, Action.DELETE),
        (ResourceKind.REGISTERED_LIMIT, Action.DELETE),
        (ResourceKind.FLAVOR, Action.DELETE),
        (ResourceKind.AGGREGATE, Action.DELETE),
        (ResourceKind.RESOURCE_CLASS, Action.DELETE),
        (ResourceKind.TRAIT, Action.DELETE),
    ]


def test_a_plan_changes_nothing(direct):
    direct.plan(desired())
    assert direct.changing == 0


def test_without_a_record_all_objects_are_adopted(direct, apply):
    apply(desired())
    direct.record = type(direct.record)("paris", direct.record.cloud)
    assert apply(desired()).changes == ()
    assert direct.plan(DesiredState("paris")).changes == ()


def test_drift_is_what_differs_from_what_was_applied(direct, apply):
    """nova-gpu drift makes this plan."""
    apply(desired())
    assert direct.plan(direct.record.desired).changes == ()
    (one,) = direct.nova.flavors.values()
    one["extra_specs"]["hw:cpu_policy"] = "shared"
    (change,) = direct.plan(direct.record.desired).changes
    assert change.summary == "update extra_specs.hw:cpu_policy: shared -> dedicated"


def test_the_quota_driver_is_checked_if_there_are_limits(direct):
    assert "seems not to be nova.quota.UnifiedLimitsDriver" in direct.plan(desired()).notes[0]
    assert direct.plan(desired(limits=())).notes == ()


def test_a_plan_over_a_real_connection(cloud):
    cloud.nova.add_compute("gpu01", cloud.placement.add_host("gpu01"))
    made = comparison.make_plan(cloud.connection(), desired())
    assert len(made.changes) == 6
    assert [change.name for change in made.skipped] == ["gpu-h100"]
    assert cloud.requested("^(POST|PUT|DELETE|PATCH)") == []


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
def test_an_error_names_the_kind_of_objects_and_the_service(cloud, pattern, part, service):
    cloud.fail(pattern, 403)
    with pytest.raises(UserError, match=f"^{part}: .*{service} refused GET"):
        comparison.make_plan(cloud.connection(), desired())


def test_an_unavailable_service_is_not_retried(cloud):
    cloud.fail("GET .*/os-aggregates", 503)
    with pytest.raises(UserError, match="^aggregates: Nova at .* is not available at the moment"):
        comparison.make_plan(cloud.connection(), desired(limits=(limit(0),)))
    assert len(cloud.requested("os-aggregates")) == 1


def test_a_tenant_gets_the_required_role(cloud):
    cloud.fail("GET .*/traits", 403)
    with pytest.raises(UserError, match="^traits: needs role admin; user alice has"):
        comparison.make_plan(cloud.connection("alice"), desired())
