# SPDX-License-Identifier: Apache-2.0
import dataclasses

import pytest

from nova_gpu_passthrough.cloud.lint.checks import scheduler_filters
from tests.unit.cloud.lint.builders import SCHEDULER, Site, resolved

OURS = "nova_gpu_passthrough.scheduler.filters.GpuPassthroughFilter"


@pytest.mark.parametrize(
    "name", ["GpuPassthroughFilter", "PciPassthroughFilter", "NUMATopologyFilter"]
)
def test_a_required_filter_that_is_not_enabled_is_a_failure(site, only_finding, name):
    path = site.path("control", SCHEDULER)
    lines = path.read_text().splitlines()
    row = next(line for line in lines if line.startswith("enabled_filters"))
    names = [n for n in row.partition(" = ")[2].split(",") if n != name]
    path.write_text("\n".join(lines).replace(row, f"enabled_filters = {','.join(names)}"))
    finding = only_finding(site)
    assert (finding.id, finding.severity) == ("scheduler.filter_missing", "failure")
    assert finding.found == f"{name} is not enabled"


def test_a_filter_that_only_the_fleet_file_lists_is_a_warning(tmp_path, only_finding):
    names = ["ComputeFilter", "AggregateInstanceExtraSpecsFilter"]
    site = Site(tmp_path, settings={"enabled_filters": names})
    site.replace("control", SCHEDULER, "AggregateInstanceExtraSpecsFilter,", "")
    finding = only_finding(site)
    assert (finding.id, finding.severity) == ("scheduler.filter_missing", "warning")


@pytest.fixture
def isolated(tmp_path):
    """A fleet whose hosts only the project lab uses."""
    groups = [{"name": "all", "inventories": ["*1.yaml"], "projects": ["lab"]}]
    return Site(tmp_path, groups=groups)


def test_generated_filters_isolate_the_hosts_of_projects(isolated, all_findings):
    assert all_findings(isolated) == []


def test_without_the_isolation_filter_hosts_of_projects_are_open_to_others(isolated, only_finding):
    isolated.replace("control", SCHEDULER, "AggregateMultiTenancyIsolation,", "")
    finding = only_finding(isolated)
    assert (finding.id, finding.severity) == ("scheduler.filter_missing", "failure")
    assert finding.found == "AggregateMultiTenancyIsolation is not enabled"
    assert "hosts that the fleet file reserves for some projects" in finding.why


def test_hosts_of_projects_without_passthrough_need_only_the_isolation_filter(tmp_path):
    groups = [{"name": "all", "inventories": ["*1.yaml"], "projects": ["lab"]}]
    site = Site(tmp_path, groups=groups)
    found = resolved(tmp_path / "vgpu", groups=[{**groups[0], "mode": "vgpu"}])
    facts = dataclasses.replace(site.facts(), resolved=found)
    assert list(scheduler_filters.check(facts)) == []
    site.replace("control", SCHEDULER, "AggregateMultiTenancyIsolation,", "")
    site.replace("control", SCHEDULER, "GpuPassthroughFilter,PciPassthroughFilter", "X")
    facts = dataclasses.replace(site.facts(), resolved=found)
    (finding,) = scheduler_filters.check(facts)
    assert finding.found == "AggregateMultiTenancyIsolation is not enabled"


def test_without_enabled_filters_every_filter_of_the_fleet_is_missing(site, all_findings):
    site.replace("control", SCHEDULER, "\nenabled_filters", "\n# enabled_filters")
    ids = [identity for identity, _, _ in all_findings(site)]
    assert ids.count("scheduler.filter_missing") == 8


def test_a_filter_before_gpu_passthrough_filter_is_reported(site, only_finding):
    site.replace(
        "control",
        SCHEDULER,
        "GpuPassthroughFilter,PciPassthroughFilter",
        "PciPassthroughFilter,GpuPassthroughFilter",
    )
    finding = only_finding(site)
    assert finding.id == "scheduler.filter_order"
    assert finding.found == "GpuPassthroughFilter runs after PciPassthroughFilter"


def test_gpu_passthrough_filter_must_be_available(site, only_finding):
    site.replace("control", SCHEDULER, f"available_filters = {OURS}\n", "")
    finding = only_finding(site)
    assert finding.id == "scheduler.filter_unavailable"
    assert OURS in finding.found


def test_filters_of_nova_must_be_available(site, only_finding):
    site.replace(
        "control", SCHEDULER, "available_filters = nova.scheduler.filters.all_filters\n", ""
    )
    finding = only_finding(site)
    assert finding.id == "scheduler.filter_unavailable"
    assert "ComputeFilter" in finding.found
