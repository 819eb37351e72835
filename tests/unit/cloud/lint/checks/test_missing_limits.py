# SPDX-License-Identifier: Apache-2.0
"""Resources of the fleet's flavors without a registered limit."""

import dataclasses

import pytest

from nova_gpu_passthrough.cloud.apply.change import Action, Change, ResourceKind
from nova_gpu_passthrough.cloud.apply.plan import Plan
from nova_gpu_passthrough.cloud.apply.record import CloudIdentity, Record
from nova_gpu_passthrough.cloud.apply.unified_limits import LimitScope
from nova_gpu_passthrough.cloud.lint import drift
from tests.unit.cloud.lint.clouds import clean_cloud

UNIFIED = "[quota]\ndriver = nova.quota.UnifiedLimitsDriver\n"
MAIN = "etc/nova/nova.conf"
LIST = "unified_limits_resource_list = class:PCPU\n"
GPUS = "class:CUSTOM_GPU_H100_SXM"


def without(site, resource, **changes):
    """Remove the registered limit of a resource."""
    limits = {k: v for k, v in site.cloud.registered_limits.items() if k != resource}
    site.cloud = dataclasses.replace(site.cloud, registered_limits=limits, **changes)


def test_gpus_without_a_limit_are_unlimited_by_novas_default(limited, only_finding):
    without(limited, "class:CUSTOM_GPU_H100_SXM")
    finding = only_finding(limited)
    assert (finding.id, finding.severity) == ("quota.limit_missing", "warning")
    assert finding.subject == "class:CUSTOM_GPU_H100_SXM"
    assert finding.found == (
        "no registered limit, so it is not limited, and Nova logs an ERROR for every server that "
        "uses it"
    )


def test_servers_without_a_limit_are_refused_by_novas_default(limited, only_finding):
    without(limited, "servers")
    finding = only_finding(limited)
    assert (finding.id, finding.severity) == ("quota.limit_missing", "failure")


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        ("unified_limits_resource_list = servers,class:PCPU\n", "failure"),
        ("unified_limits_resource_strategy = ignore\n", "failure"),
        (f"{LIST}unified_limits_resource_strategy = ignore\n", "warning"),
    ],
)
def test_the_strategy_determines_the_effect_of_a_missing_limit(
    limited, all_findings, text, severity
):
    limited.add("control", f"{UNIFIED}{text}", MAIN)
    without(limited, "class:PCPU")
    assert all_findings(limited) == [("quota.limit_missing", "class:PCPU", severity)]


def test_disk_of_flavors_is_checked_like_other_resources(limited, only_finding):
    limited.add("control", f"{UNIFIED}unified_limits_resource_list = class:DISK_GB\n", MAIN)
    without(limited, "class:DISK_GB")
    finding = only_finding(limited)
    assert (finding.id, finding.subject) == ("quota.limit_missing", "class:DISK_GB")
    assert finding.severity == "failure"


def test_without_quotas_missing_limits_are_reported_where_nova_uses_unified_limits(
    site, all_findings
):
    site.cloud = clean_cloud(site)
    assert all_findings(site) == []
    site.cloud = dataclasses.replace(site.cloud, unified=True)
    expected = ["class:DISK_GB", "class:MEMORY_MB", "class:PCPU"]
    assert all_findings(site) == [("quota.limit_missing", name, "warning") for name in expected]
    site.add("control", "[quota]\ndriver = nova.quota.DbQuotaDriver\n", MAIN)
    assert all_findings(site) == []


def test_the_fix_creates_a_limit_that_refuses_nobody(limited, only_finding):
    without(limited, "class:PCPU", limit_scope=LimitScope("id-nova", "paris"))
    assert only_finding(limited).fix == (
        "openstack registered limit create --service id-nova --region paris --default-limit -1 "
        "class:PCPU"
    )


def test_a_limit_that_apply_would_create_is_only_reported_as_its_change(limited, only_finding):
    change = Change(ResourceKind.REGISTERED_LIMIT, GPUS, Action.CREATE, None, {"limit": -1})
    without(limited, GPUS, plan=Plan(limited.desired, (change,)))
    assert only_finding(limited).id == "cloud.limit"


def test_a_limit_outside_the_fleet_file_is_no_drift(limited):
    without(limited, "class:PCPU")
    record = Record("test", CloudIdentity("x"), "2026-01-01", desired=limited.desired)
    assert list(drift.findings(limited.facts(), limited.desired, record, "r")) == []
