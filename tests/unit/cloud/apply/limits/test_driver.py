# SPDX-License-Identifier: Apache-2.0
import pytest

from nova_gpu_passthrough.cloud.apply.limits import driver

SHOWN = {"id": "default", "instances": 10, "cores": 20, "ram": 51200, "key_pairs": 100}
REGISTERED = {
    "servers": 10,
    "class:VCPU": 20,
    "class:MEMORY_MB": 51200,
    "server_key_pairs": 100,
    "class:CUSTOM_GPU_H100": 0,
}


@pytest.mark.parametrize(
    ("wanted", "shown", "registered"),
    [
        ("unified-limits", SHOWN, REGISTERED),
        ("nova", SHOWN, {}),
        ("nova", SHOWN, {**REGISTERED, "servers": 11}),
        # Without a registered limit Nova shows 0.
        ("unified-limits", {"instances": 0, "cores": 20}, {"class:VCPU": 20}),
        ("unified-limits", {"id": "default"}, {}),
    ],
)
def test_nothing_is_said_where_nothing_speaks_against_it(wanted, shown, registered):
    assert driver.note(wanted, shown, registered) is None


def test_values_that_are_not_keystones_are_told():
    assert driver.note("unified-limits", SHOWN, {**REGISTERED, "servers": 11}) == (
        "Nova's default quotas are not Keystone's registered limits, so [quota] driver of nova-api "
        "seems not to be nova.quota.UnifiedLimitsDriver, and the limits in Keystone do not hold: "
        "instances 10 (servers 11)"
    )


def test_values_that_are_keystones_are_told():
    note = driver.note("nova", SHOWN, REGISTERED)
    assert "seems to be nova.quota.UnifiedLimitsDriver, and Nova's own quotas do not hold" in note


@pytest.mark.parametrize("wanted", ["unified-limits", "nova"])
def test_a_nova_that_does_not_count_is_told(wanted):
    note = driver.note(wanted, dict.fromkeys(SHOWN, -1), REGISTERED)
    assert "nova.quota.NoopQuotaDriver, so that no limit holds" in note


def test_its_names_are_novas():
    local = pytest.importorskip("nova.limit.local")
    placement = pytest.importorskip("nova.limit.placement")
    unified = {**placement.LEGACY_LIMITS, **local.LEGACY_LIMITS}
    theirs = {quota: resource for resource, quota in unified.items()}
    assert driver.NAMES.items() <= theirs.items()
