# SPDX-License-Identifier: Apache-2.0
"""Quotas that contradict which flavors a project may use."""

import dataclasses

import pytest

from nova_gpu_passthrough.cloud.apply.unified_limits import LimitScope
from nova_gpu_passthrough.cloud.lint.checks import quota_access
from nova_gpu_passthrough.cloud.lint.cloud_facts import ProjectLimit
from nova_gpu_passthrough.fleet.desired_state import ProjectName
from tests.unit.cloud.lint.builders import Site
from tests.unit.cloud.lint.clouds import clean_cloud, with_flavor

L40S = "class:CUSTOM_GPU_L40S"


def project(flavors=("gpu.l40s.*",), **quotas):
    """Return a project of the fleet file."""
    return {"name": "ml", "flavors": list(flavors), "quotas": quotas}


#: Gives quotas to GPUs, so that others have none.
OTHER = {"name": "other", "flavors": ["gpu.h100-sxm.*"], "quotas": {"h100-sxm": 8}}


@pytest.fixture
def all_findings():
    """Return the findings of the check."""
    return lambda site: list(quota_access.check(site.facts()))


@pytest.fixture
def only_finding(all_findings):
    """Return the only finding of the check."""

    def only(site):
        (finding,) = all_findings(site)
        return finding

    return only


def test_a_quota_that_serves_a_flavor_is_accepted(tmp_path, all_findings):
    site = Site(tmp_path, projects=[project(l40s=1)])
    assert all_findings(site) == []


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"projects": [project(l40s=0)]}, "but its limit of class:CUSTOM_GPU_L40S is 0"),
        (
            {"projects": [project(("gpu.l40s.*",)), OTHER]},
            "but the default limit of class:CUSTOM_GPU_L40S is 0",
        ),
        (
            {"projects": [project()], "quotas": {"default": {"l40s": 0}}},
            "but the default limit of class:CUSTOM_GPU_L40S is 0",
        ),
        (
            {"projects": [project(("gpu.l40s.2", "gpu.l40s.4"), l40s=1)]},
            "with at least 2 of l40s, but its limit of class:CUSTOM_GPU_L40S is 1",
        ),
    ],
)
def test_flavors_of_a_project_without_quota_are_reported(tmp_path, only_finding, keys, words):
    finding = only_finding(Site(tmp_path, **keys))
    assert (finding.id, finding.subject) == ("quota.too_small", "project ml")
    assert finding.severity == "failure"
    assert words in finding.found
    assert "set quotas of project ml to {l40s: " in finding.fix
    assert finding.fix.splitlines()[1].startswith("nova-gpu apply --fleet ")


def test_a_project_that_may_use_one_of_its_flavors_is_accepted(tmp_path, all_findings):
    site = Site(tmp_path, projects=[project(("gpu.l40s.*",), l40s=2)])
    assert all_findings(site) == []


def test_a_quota_without_a_flavor_is_reported(tmp_path, only_finding):
    site = Site(tmp_path, projects=[project((), l40s=2)])
    finding = only_finding(site)
    assert (finding.id, finding.severity) == ("quota.no_flavor", "warning")
    assert finding.found == f"its limit of {L40S} is 2, but it may use no flavor with l40s"
    assert "add gpu.l40s.1 to flavors of project ml, then:" in finding.fix


PUBLIC = [{"model": "L40S", "public": True}]


def test_a_quota_with_a_flavor_for_all_is_accepted(tmp_path, all_findings):
    site = Site(
        tmp_path,
        flavors=PUBLIC,
        projects=[project((), l40s=2)],
        quotas={"default": {"l40s": 1}},
    )
    assert all_findings(site) == []


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"quotas": {"default": {"l40s": 0}}}, "but the default limit is 0, and no project may"),
        ({"projects": [project((), l40s=2)]}, "but the default limit is 0, only ml may have more"),
    ],
)
def test_flavors_for_all_that_the_default_forbids_are_reported(tmp_path, only_finding, keys, words):
    finding = only_finding(Site(tmp_path, flavors=PUBLIC, **keys))
    assert (finding.id, finding.severity) == ("quota.default_too_small", "warning")
    assert finding.subject == L40S
    assert words in finding.found
    assert "set quotas.default.l40s to 1 or more" in finding.fix


@pytest.mark.parametrize(
    "keys",
    [
        {"settings": {"release": 33}, "projects": [project(l40s=0)]},
        {"quotas": {"driver": "nova", "default": {"servers": 3}}, "projects": [project()]},
        {"projects": [project()]},
    ],
)
def test_quotas_that_do_not_count_gpus_contradict_nothing(tmp_path, all_findings, keys):
    assert all_findings(Site(tmp_path, **keys)) == []


@pytest.fixture
def cloud(site):
    """A cloud with unified limits, and a flavor of one project that is not in the fleet file."""
    cloud = with_flavor(
        clean_cloud(site), "mine", pci_passthrough__alias="l40s:2", hw__numa_nodes="1"
    )
    flavors = tuple(
        dataclasses.replace(one, public=False, projects=("p1",)) if one.name == "mine" else one
        for one in cloud.view.flavors
    )
    return dataclasses.replace(
        cloud,
        view=dataclasses.replace(cloud.view, flavors=flavors),
        unified=True,
        limit_scope=LimitScope("service-id", "RegionOne"),
        project_names={"p1": "ml", "p2": "web"},
    )


def test_other_projects_of_the_cloud_are_compared(site, cloud, only_finding):
    site.cloud = cloud
    finding = only_finding(site)
    assert (finding.id, finding.subject) == ("quota.too_small", "project ml")
    assert finding.fix == (
        "openstack limit create --service service-id --region RegionOne --project p1 "
        f"--resource-limit 2 {L40S}"
    )


def test_a_limit_of_another_project_is_raised_by_its_id(site, cloud, only_finding):
    limits = {"p1": {L40S: ProjectLimit("limit-id", 1)}}
    site.cloud = dataclasses.replace(cloud, project_limits=limits)
    assert only_finding(site).fix == "openstack limit set --resource-limit 2 limit-id"


def test_a_limit_of_another_project_without_flavor_is_reported(site, cloud, only_finding):
    limits = {"p1": {L40S: ProjectLimit("a", -1)}, "p2": {L40S: ProjectLimit("b", 8)}}
    site.cloud = dataclasses.replace(cloud, project_limits=limits)
    finding = only_finding(site)
    assert (finding.id, finding.subject) == ("quota.no_flavor", "project web")
    assert "add gpu.l40s.1 to flavors of project web" in finding.fix


def test_a_project_of_the_fleet_file_is_found_in_the_cloud(tmp_path, only_finding):
    site = Site(tmp_path, projects=[project(("gpu.h100-sxm.1",))])
    cloud = clean_cloud(site)
    site.cloud = dataclasses.replace(
        cloud,
        unified=True,
        project_ids={ProjectName("ml"): "p1"},
        project_limits={"p1": {L40S: ProjectLimit("a", 3)}},
        registered_limits={"class:CUSTOM_GPU_H100_SXM": 8, L40S: 0},
    )
    finding = only_finding(site)
    assert (finding.id, finding.subject) == ("quota.no_flavor", "project ml")
    assert str(site.resolved.file.path) in finding.fix
