# SPDX-License-Identifier: Apache-2.0
import dataclasses

import pytest

from nova_gpu_passthrough.cloud.apply.change import Action, Change, Held, Kind, Plan
from tests.unit.cloud.lint.clouds import clean


def planned(site, **parts):
    """The clean cloud, in which apply would do something."""
    return dataclasses.replace(clean(site), plan=Plan(site.desired, **parts))


@pytest.mark.parametrize("kind", Kind)
def test_every_change_that_apply_would_make_is_found(site, only, kind):
    change = Change(kind, "thing", Action.UPDATE, {"ram_mib": 1}, {"ram_mib": 2})
    site.cloud = planned(site, changes=(change,))
    finding = only(site)
    assert finding.id.startswith("cloud.")
    assert (finding.subject, finding.severity) == (f"{kind} thing", "failure")
    assert "update ram_mib: 1 -> 2" in finding.found
    assert "nova-gpu apply --fleet" in finding.fix


@pytest.mark.parametrize(
    ("foreign", "identity", "severity"),
    [(False, "cloud.held", "failure"), (True, "cloud.foreign", "warning")],
)
def test_what_apply_leaves_alone_is_told(site, only, foreign, identity, severity):
    site.cloud = planned(site, held=(Held(Kind.AGGREGATE, "gpu-all", "host x", foreign),))
    finding = only(site)
    assert (finding.id, finding.severity, finding.found) == (identity, severity, "host x")
