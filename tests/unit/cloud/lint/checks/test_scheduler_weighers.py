# SPDX-License-Identifier: Apache-2.0
import dataclasses

import pytest

from tests.unit.cloud.lint.builders import SCHEDULER
from tests.unit.cloud.lint.clouds import clean_cloud, with_host

ALL = "nova.scheduler.weights.all_weighers"
OURS = "nova_gpu_passthrough.scheduler.weights.GpuPassthroughWeigher"
LINE = f"weight_classes = {ALL},{OURS}"


def test_gpu_passthrough_weigher_must_be_enabled(site, only_finding):
    site.replace("control", SCHEDULER, LINE, f"weight_classes = {ALL}")
    assert only_finding(site).id == "scheduler.weigher_missing"


def test_without_weight_classes_gpu_passthrough_weigher_is_not_enabled(site, only_finding):
    site.replace("control", SCHEDULER, LINE, "")
    assert only_finding(site).id == "scheduler.weigher_missing"


def test_only_the_last_of_repeated_lines_applies(site, only_finding):
    """weight_classes is one list (ListOpt in nova/conf/scheduler.py)."""
    site.replace("control", SCHEDULER, LINE, f"weight_classes = {ALL}\nweight_classes = {OURS}")
    finding = only_finding(site)
    assert finding.id == "scheduler.weighers_lost"
    assert "only the last of 2 lines applies" in finding.found


@pytest.mark.parametrize("again", ["nova.scheduler.weights.pci.PCIWeigher", OURS])
def test_a_weigher_that_is_enabled_twice_is_reported(site, only_finding, again):
    site.replace("control", SCHEDULER, LINE, f"{LINE},{again}")
    finding = only_finding(site)
    assert (finding.id, finding.severity) == ("scheduler.weigher_twice", "warning")
    assert again in finding.found


@pytest.mark.parametrize(
    ("text", "identity"),
    [
        ("[gpu_passthrough]\nweight_multiplier = 0\n", "scheduler.weigher_off"),
        ("[filter_scheduler]\npci_weight_multiplier = 1000\n", "scheduler.pci_weigher"),
        ("[gpu_passthrough]\nweight_multiplier = 50\n", "scheduler.pci_weigher"),
        ("[filter_scheduler]\nhost_subset_size = 5\n", "scheduler.host_subset"),
    ],
)
def test_options_that_outweigh_gpu_passthrough_weigher_are_reported(
    site, only_finding, text, identity
):
    site.add("control", text)
    finding = only_finding(site)
    assert (finding.id, finding.severity) == (identity, "warning")
    assert "99-local.conf:2" in finding.source


def test_a_small_pci_weight_multiplier_is_accepted(site, all_findings):
    site.add("control", "[filter_scheduler]\npci_weight_multiplier = 5\n")
    assert all_findings(site) == []


@pytest.mark.parametrize(
    ("metadata", "identity"),
    [
        ({"gpu_passthrough:weight_multiplier": "0"}, "scheduler.weigher_off"),
        ({"pci_weight_multiplier": "5000"}, "scheduler.pci_weigher"),
        ({"pci_weight_multiplier": "text"}, None),
    ],
)
def test_aggregate_metadata_that_outweighs_the_weigher_is_reported(
    site, all_findings, metadata, identity
):
    def put(host):
        return dataclasses.replace(host, aggregates={**host.aggregates, "mine": metadata})

    site.cloud = with_host(clean_cloud(site), "hgx1", put)
    assert all_findings(site) == ([(identity, "aggregate mine", "warning")] if identity else [])
