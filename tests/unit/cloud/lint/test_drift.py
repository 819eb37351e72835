# SPDX-License-Identifier: Apache-2.0
import dataclasses

import pytest

from nova_gpu_passthrough.cloud.apply.record import Cloud, Record
from nova_gpu_passthrough.cloud.lint import drift
from nova_gpu_passthrough.fleet.desired import Aggregate, Desired, Flavor, Limit, ProjectName
from tests.unit.cloud.lint.builders import COMPUTE
from tests.unit.cloud.lint.clouds import clean, with_flavor

FLAVOR = Flavor("gpu.1", 4, 1024, 40)
OLD = Desired(
    "test",
    ("CUSTOM_A",),
    ("CUSTOM_GPU_A",),
    (Aggregate("gpus", ("a", "b")),),
    (FLAVOR,),
    limits=(Limit("servers", 1), Limit("servers", 2, ProjectName("research"))),
)


def found(site, wanted=None, **changes):
    """What has drifted since what the site desires was applied."""
    record = Record(
        "test", Cloud("http://keystone"), "2026-01-01T00:00:00Z", desired=site.desired, **changes
    )
    findings = drift.findings(site.facts(), wanted or site.desired, record, "applied.yaml")
    return [(finding.id, finding.subject) for finding in findings]


@pytest.fixture
def applied(site):
    """The cloud as it was applied."""
    site.cloud = clean(site)
    return site


def test_a_cloud_as_it_was_applied_has_not_drifted(applied):
    assert found(applied) == []


def test_a_fleet_file_that_has_changed_since_is_told(applied):
    wanted = dataclasses.replace(applied.desired, flavors=applied.desired.flavors[1:])
    assert found(applied, wanted) == [("drift.fleet_changed", "fleet test")]


def test_an_apply_that_was_not_completed_is_told(applied):
    assert found(applied, complete=False) == [("drift.incomplete", "fleet test")]


def test_configuration_that_has_changed_is_found(applied):
    applied.replace("hgx1", COMPUTE, "ram_allocation_ratio = 1.0", "ram_allocation_ratio = 1.5")
    assert found(applied) == [("compute.overcommit", "nova-compute@hgx1")]


def test_what_an_operator_added_is_not_drift(applied):
    applied.cloud = with_flavor(applied.cloud, "mine", pci_passthrough__alias="l40s:1")
    assert found(applied) == []


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
def test_every_part_that_changes_is_told(changes, words):
    assert words in list(drift.differences(OLD, dataclasses.replace(OLD, **changes)))


def test_what_is_the_same_is_not_told():
    assert list(drift.differences(OLD, dataclasses.replace(OLD))) == []
