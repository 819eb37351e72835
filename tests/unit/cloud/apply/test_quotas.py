# SPDX-License-Identifier: Apache-2.0
"""Nova's own quotas, and the detection of its quota driver."""

import pytest

from nova_gpu_passthrough.cloud.apply import quotas
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet.desired_state import DesiredState, ProjectName
from tests.unit.cloud.apply.builders import RESEARCH, TEACHING, limit
from tests.unit.cloud.apply.direct import DirectApi, Killed


def _desired(*limits):
    return DesiredState("paris", limits=limits, quota_driver="nova")


def _cores(value, project=None):
    return limit(value, project, "cores")


@pytest.fixture
def nova(direct):
    return direct.nova


def test_defaults_and_projects_get_their_quotas(apply, nova):
    assert apply(_desired(_cores(100), _cores(200, RESEARCH))).changes == ()
    assert nova.default_quotas["cores"] == 100
    assert nova.quotas["id-research"]["cores"] == 200


def test_equal_quotas_are_not_set(direct):
    assert direct.plan(_desired(_cores(20), _cores(20, RESEARCH))).changes == ()


def test_a_quota_equal_to_the_default_stays_when_the_default_changes(direct, apply, nova):
    state = _desired(_cores(100), _cores(20, RESEARCH))
    assert "+cores of research: 20\n" in direct.plan(state).diff()
    assert "-cores of research: 20 (the default)\n" in direct.plan(state).diff()
    assert apply(state).changes == ()
    assert nova.quotas["id-research"]["cores"] == 20


def test_a_quota_equal_to_the_default_stays_after_a_kill(direct, apply, nova):
    def kill(number, what):
        raise Killed

    direct.after = kill
    state = _desired(_cores(100), _cores(20, RESEARCH))
    with pytest.raises(Killed):
        direct.apply(state)
    direct.after = lambda number, what: None
    assert apply(state).changes == ()
    assert nova.quotas["id-research"]["cores"] == 20


def test_a_quota_below_the_usage_is_forced(direct, apply, nova):
    bodies = []
    answer = nova.answer

    def watch(method, path, request):
        if method == "PUT":
            bodies.append(request.body)
        return answer(method, path, request)

    nova.answer = watch
    apply(_desired(_cores(0, RESEARCH)))
    assert bodies == ['{"quota_set": {"cores": 0, "force": true}}']


def test_a_quota_no_longer_in_the_file_gets_the_default(direct, apply, nova):
    apply(_desired(_cores(100), _cores(200, RESEARCH), _cores(5, TEACHING)))
    state = _desired(_cores(50), _cores(5, TEACHING))
    assert "+cores of research: 50 (the default)\n" in direct.plan(state).diff()
    assert apply(state).changes == ()
    assert nova.quotas["id-research"]["cores"] == 50
    assert nova.quotas["id-teaching"]["cores"] == 5


def test_a_default_no_longer_in_the_file_stays(apply, nova, reasons):
    apply(_desired(_cores(100)))
    assert reasons(_desired()) == [
        "default quota cores: not in the fleet file any more, and stays 100: Nova cannot unset it"
    ]
    assert apply(_desired()).skipped == ()
    assert nova.default_quotas["cores"] == 100


def test_an_unknown_project_is_skipped(reasons):
    assert reasons(_desired(_cores(1, ProjectName("lab")))) == [
        "project quota cores: there is no project lab; run apply again once it exists"
    ]


def test_a_nova_that_ignores_quotas_is_an_error(direct, nova):
    answer = nova.answer

    def ignore(method, path, request):
        return answer("GET" if method == "PUT" else method, path, request)

    nova.answer = ignore
    words = "Nova accepts 100 and keeps 20, so .quota. driver .* is not nova.quota.DbQuotaDriver"
    with pytest.raises(UserError, match=f"{words}.*; 0 of 1 changes done; run it again to go on"):
        direct.apply(_desired(_cores(100)))


def test_a_fleet_that_changes_to_novas_quotas_deletes_its_unified_limits(direct, apply):
    apply(DesiredState("paris", limits=(limit(0), limit(4, RESEARCH))))
    assert apply(_desired(_cores(100))).changes == ()
    assert direct.keystone.limits == direct.keystone.registered_limits == {}


def test_a_fleet_that_changes_to_unified_limits_forgets_novas_quotas(direct, apply, nova):
    apply(_desired(_cores(100), _cores(200, RESEARCH)))
    apply(DesiredState("paris", limits=(limit(0),)))
    assert [entry.kind for entry in direct.record.entries] == ["registered limit"]
    assert nova.quotas["id-research"]["cores"] == 200


DEFAULTS = {"id": "default", "instances": 10, "cores": 20, "ram": 51200, "key_pairs": 100}


REGISTERED = {
    "servers": 10,
    "class:VCPU": 20,
    "class:MEMORY_MB": 51200,
    "server_key_pairs": 100,
    "class:CUSTOM_GPU_H100": 0,
}


@pytest.mark.parametrize(
    ("driver", "defaults", "registered"),
    [
        ("unified-limits", DEFAULTS, REGISTERED),
        ("nova", DEFAULTS, {}),
        ("nova", DEFAULTS, {**REGISTERED, "servers": 11}),
        # Without a registered limit Nova shows 0.
        ("unified-limits", {"instances": 0, "cores": 20}, {"class:VCPU": 20}),
        ("unified-limits", {"id": "default"}, {}),
    ],
)
def test_no_note_if_the_driver_matches(driver, defaults, registered):
    assert quotas.driver_note(driver, defaults, registered) is None


def test_a_note_if_defaults_are_not_registered_limits():
    assert quotas.driver_note("unified-limits", DEFAULTS, {**REGISTERED, "servers": 11}) == (
        "Nova's default quotas are not Keystone's registered limits, so [quota] driver of nova-api "
        "seems not to be nova.quota.UnifiedLimitsDriver, and the limits in Keystone have no "
        "effect: instances 10 (servers 11)"
    )


def test_a_note_if_defaults_are_registered_limits():
    note = quotas.driver_note("nova", DEFAULTS, REGISTERED)
    assert (
        "seems to be nova.quota.UnifiedLimitsDriver, and Nova's own quotas have no effect" in note
    )


@pytest.mark.parametrize("driver", ["unified-limits", "nova"])
def test_a_note_if_nova_enforces_no_quotas(driver):
    note = quotas.driver_note(driver, dict.fromkeys(DEFAULTS, -1), REGISTERED)
    assert "nova.quota.NoopQuotaDriver, so no limit has an effect" in note


def test_the_unified_names_are_those_of_nova():
    local = pytest.importorskip("nova.limit.local")
    placement = pytest.importorskip("nova.limit.placement")
    unified = {**placement.LEGACY_LIMITS, **local.LEGACY_LIMITS}
    theirs = {quota: resource for resource, quota in unified.items()}
    assert quotas.UNIFIED_NAMES.items() <= theirs.items()


#: Nova's default quotas in the fake cloud as registered limits.
UNIFIED = {"servers": 10, "class:VCPU": 20, "class:MEMORY_MB": 51200}


@pytest.mark.parametrize(
    ("driver", "limits", "registered", "note"),
    [
        ("unified-limits", (limit(1),), {"servers": 10}, "seems not to be"),
        ("unified-limits", (), {"servers": 10}, None),
        ("unified-limits", (), UNIFIED, None),
        ("nova", (_cores(20),), {"servers": 10}, None),
        # Nova's default quotas are the registered limits.
        ("nova", (_cores(20),), UNIFIED, "seems to be"),
        ("nova", (), None, None),
    ],
)
def test_the_quota_state_is_read_as_far_as_needed(direct, driver, limits, registered, note):
    for name, value in (registered or {}).items():
        direct.keystone.registered_limits[name] = {
            "resource_name": name,
            "default_limit": value,
            "service_id": "id-compute",
            "region_id": "RegionOne",
        }
    state = DesiredState("paris", limits=limits, quota_driver=driver)
    result = quotas.read_quota_state(DirectApi(direct), state)
    assert result.registered_limits == registered
    assert (result.driver_note is None) is (note is None)
    assert note is None or note in result.driver_note
    assert bool(direct.requested) is (registered is not None)
    assert result.unified is (registered == UNIFIED)
