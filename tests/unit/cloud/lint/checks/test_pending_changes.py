# SPDX-License-Identifier: Apache-2.0
import dataclasses

import pytest

from nova_gpu_passthrough.cloud.apply.change import Action, Change, ResourceKind, SkippedChange
from nova_gpu_passthrough.cloud.apply.plan import Plan
from tests.unit.cloud.lint.clouds import clean_cloud


def planned(site, **parts):
    """Return the clean cloud with a plan of apply."""
    return dataclasses.replace(clean_cloud(site), plan=Plan(site.desired, **parts))


@pytest.mark.parametrize("kind", ResourceKind)
def test_every_change_that_apply_would_make_is_reported(site, only_finding, kind):
    change = Change(kind, "thing", Action.UPDATE, {"ram_mib": 1}, {"ram_mib": 2})
    site.cloud = planned(site, changes=(change,))
    finding = only_finding(site)
    assert finding.id.startswith("cloud.")
    assert (finding.subject, finding.severity) == (f"{kind} thing", "failure")
    assert "update ram_mib: 1 -> 2" in finding.found
    assert "nova-gpu apply --fleet" in finding.fix


@pytest.mark.parametrize(
    ("foreign", "identity", "severity"),
    [(False, "cloud.held", "failure"), (True, "cloud.foreign", "warning")],
)
def test_a_change_that_apply_would_skip_is_reported(
    site, only_finding, foreign, identity, severity
):
    site.cloud = planned(
        site, skipped=(SkippedChange(ResourceKind.AGGREGATE, "gpu-all", "host x", foreign),)
    )
    finding = only_finding(site)
    assert (finding.id, finding.severity, finding.found) == (identity, severity, "host x")
