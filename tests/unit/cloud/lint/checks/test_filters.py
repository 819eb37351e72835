# SPDX-License-Identifier: Apache-2.0
import pytest

from tests.unit.cloud.lint.builders import SCHEDULER, Site

OURS = "nova_gpu_passthrough.scheduler.filters.GpuPassthroughFilter"


@pytest.mark.parametrize(
    "name", ["GpuPassthroughFilter", "PciPassthroughFilter", "NUMATopologyFilter"]
)
def test_a_filter_that_is_not_enabled_is_found(site, only, name):
    path = site.path("control", SCHEDULER)
    lines = path.read_text().splitlines()
    row = next(line for line in lines if line.startswith("enabled_filters"))
    names = [n for n in row.partition(" = ")[2].split(",") if n != name]
    path.write_text("\n".join(lines).replace(row, f"enabled_filters = {','.join(names)}"))
    finding = only(site)
    assert (finding.id, finding.severity) == ("scheduler.filter_missing", "failure")
    assert finding.found == f"{name} is not enabled"


def test_one_that_only_the_fleet_file_names_is_a_warning(tmp_path, only):
    names = ["ComputeFilter", "AggregateInstanceExtraSpecsFilter"]
    site = Site(tmp_path, settings={"enabled_filters": names})
    site.replace("control", SCHEDULER, "AggregateInstanceExtraSpecsFilter,", "")
    finding = only(site)
    assert (finding.id, finding.severity) == ("scheduler.filter_missing", "warning")


def test_without_the_option_none_of_the_fleet_files_is_enabled(site, found):
    site.replace("control", SCHEDULER, "\nenabled_filters", "\n# enabled_filters")
    ids = [identity for identity, _, _ in found(site)]
    assert ids.count("scheduler.filter_missing") == 8


def test_the_order_matters(site, only):
    site.replace(
        "control",
        SCHEDULER,
        "GpuPassthroughFilter,PciPassthroughFilter",
        "PciPassthroughFilter,GpuPassthroughFilter",
    )
    finding = only(site)
    assert finding.id == "scheduler.filter_order"
    assert finding.found == "GpuPassthroughFilter comes after PciPassthroughFilter"


def test_a_filter_must_be_available(site, only):
    site.replace("control", SCHEDULER, f"available_filters = {OURS}\n", "")
    finding = only(site)
    assert finding.id == "scheduler.filter_unavailable"
    assert OURS in finding.found


def test_novas_own_filters_must_be_available_too(site, only):
    site.replace(
        "control", SCHEDULER, "available_filters = nova.scheduler.filters.all_filters\n", ""
    )
    finding = only(site)
    assert finding.id == "scheduler.filter_unavailable"
    assert "ComputeFilter" in finding.found
