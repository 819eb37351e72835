# SPDX-License-Identifier: Apache-2.0
from tests.unit.cloud.lint.builders import PLACEMENT, SCHEDULER


def test_a_policy_that_differs_from_the_fleet_file_is_reported(site, only_finding):
    site.replace("control", SCHEDULER, "policy = pack", "policy = spread")
    finding = only_finding(site)
    assert (finding.id, finding.severity) == ("scheduler.policy", "warning")
    assert "spread" in finding.found


def test_a_gpu_class_that_the_filter_does_not_know_is_reported(site, only_finding):
    site.replace(
        "control", SCHEDULER, "resource_classes = CUSTOM_GPU_H100_SXM,", "resource_classes = "
    )
    finding = only_finding(site)
    assert finding.id == "scheduler.resource_classes"
    assert "CUSTOM_GPU_H100_SXM" in finding.found


def test_an_unknown_alias_is_reported(site, only_finding):
    site.add("control", "[gpu_passthrough]\naliases = h100-sxm,h100-pcie\n")
    finding = only_finding(site)
    assert finding.id == "scheduler.alias_unknown"
    assert "h100-pcie" in finding.found


def test_nova_must_not_truncate_the_results_of_placement(site, only_finding):
    site.replace(
        "control", PLACEMENT, "max_allocation_candidates = 1000", "max_allocation_candidates = 5000"
    )
    finding = only_finding(site)
    assert finding.id == "scheduler.placement_results"
    assert "1000" in finding.found and "5000" in finding.found
