# SPDX-License-Identifier: Apache-2.0
import dataclasses

import pytest

from nova_gpu_passthrough.cloud.apply.record import CloudIdentity, Record
from nova_gpu_passthrough.cloud.lint import drift
from nova_gpu_passthrough.fleet.desired_state import (
    Aggregate,
    DesiredState,
    Flavor,
    Limit,
    ProjectName,
)
from tests.unit.cloud.lint.builders import COMPUTE
from tests.unit.cloud.lint.clouds import clean_cloud, with_flavor

FLAVOR = Flavor("gpu.1", 4, 1024, 40)
OLD = DesiredState(
    "test",
    ("CUSTOM_A",),
    ("CUSTOM_GPU_A",),
    (Aggregate("gpus", ("a", "b")),),
    (FLAVOR,),
    limits=(Limit("servers", 1), Limit("servers", 2, ProjectName("research"))),
)


def drift_of(site, expected=None, **changes):
    """Return ids and subjects of drift since the desired state was applied."""
    record = Record(
        "test",
        CloudIdentity("http://keystone"),
        "2026-01-01T00:00:00Z",
        desired=site.desired,
        **changes,
    )
    findings = drift.findings(site.facts(), expected or site.desired, record, "applied.yaml")
    return [(finding.id, finding.subject) for finding in findings]


@pytest.fixture
def applied(site):
    """The site with the cloud as it was applied."""
    site.cloud = clean_cloud(site)
    return site


def test_a_cloud_as_it_was_applied_has_not_drifted(applied):
    assert drift_of(applied) == []


def test_a_changed_fleet_file_is_reported(applied):
    expected = dataclasses.replace(applied.desired, flavors=applied.desired.flavors[1:])
    assert drift_of(applied, expected) == [("drift.fleet_changed", "fleet test")]


def test_an_incomplete_apply_is_reported(applied):
    assert drift_of(applied, complete=False) == [("drift.incomplete", "fleet test")]


def test_changed_configuration_is_reported(applied):
    applied.replace("hgx1", COMPUTE, "ram_allocation_ratio = 1.0", "ram_allocation_ratio = 1.5")
    assert drift_of(applied) == [("compute.overcommit", "nova-compute@hgx1")]


def test_a_flavor_outside_the_fleet_is_not_drift(applied):
    applied.cloud = with_flavor(applied.cloud, "mine", pci_passthrough__alias="l40s:1")
    assert drift_of(applied) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"quota_driver": "nova"}, "quotas.driver unified-limits -> nova"),
        ({"traits": ("CUSTOM_B",)}, "traits added: CUSTOM_B"),
        ({"resource_classes": ()}, "resource classes removed: CUSTOM_GPU_A"),
        ({"aggregates": (Aggregate("gpus", ("a",)),)}, "aggregates changed: gpus"),
        ({"flavors": ()}, "flavors removed: gpu.1"),
        ({"flavors": (FLAVOR, dataclasses.replace(FLAVOR, name="x"))}, "flavors added: x"),
        ({"limits": (Limit("servers", 1),)}, "limits removed: servers of research = 2"),
    ],
)
def test_every_changed_field_is_described(changes, words):
    assert words in list(drift.differences(OLD, dataclasses.replace(OLD, **changes)))


def test_equal_states_have_no_differences():
    assert list(drift.differences(OLD, dataclasses.replace(OLD))) == []
