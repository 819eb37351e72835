# SPDX-License-Identifier: Apache-2.0
import dataclasses

import pytest

from tests.unit.cloud.lint.builders import SCHEDULER
from tests.unit.cloud.lint.clouds import clean, with_host

ALL = "nova.scheduler.weights.all_weighers"
OURS = "nova_gpu_passthrough.scheduler.weights.GpuPassthroughWeigher"
LINE = f"weight_classes = {ALL},{OURS}"


def test_our_weigher_must_be_enabled(site, only):
    site.replace("control", SCHEDULER, LINE, f"weight_classes = {ALL}")
    assert only(site).id == "scheduler.weigher_missing"


def test_without_the_option_ours_is_not_enabled(site, only):
    site.replace("control", SCHEDULER, LINE, "")
    assert only(site).id == "scheduler.weigher_missing"


def test_of_repeated_lines_only_the_last_counts(site, only):
    """weight_classes is one list (ListOpt in nova/conf/scheduler.py)."""
    site.replace("control", SCHEDULER, LINE, f"weight_classes = {ALL}\nweight_classes = {OURS}")
    finding = only(site)
    assert finding.id == "scheduler.weighers_lost"
    assert "of 2 lines the last counts" in finding.found


@pytest.mark.parametrize("again", ["nova.scheduler.weights.pci.PCIWeigher", OURS])
def test_a_weigher_that_counts_twice_is_found(site, only, again):
    site.replace("control", SCHEDULER, LINE, f"{LINE},{again}")
    finding = only(site)
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
def test_options_that_undo_our_weigher_are_found(site, only, text, identity):
    site.add("control", text)
    finding = only(site)
    assert (finding.id, finding.severity) == (identity, "warning")
    assert "99-local.conf:2" in finding.source


def test_a_multiplier_that_is_small_beside_ours_is_fine(site, found):
    site.add("control", "[filter_scheduler]\npci_weight_multiplier = 5\n")
    assert found(site) == []


@pytest.mark.parametrize(
    ("metadata", "identity"),
    [
        ({"gpu_passthrough:weight_multiplier": "0"}, "scheduler.weigher_off"),
        ({"pci_weight_multiplier": "5000"}, "scheduler.pci_weigher"),
        ({"pci_weight_multiplier": "text"}, None),
    ],
)
def test_metadata_of_aggregates_can_undo_it_too(site, found, metadata, identity):
    def put(host):
        return dataclasses.replace(host, aggregates={**host.aggregates, "mine": metadata})

    site.cloud = with_host(clean(site), "hgx1", put)
    assert found(site) == ([(identity, "aggregate mine", "warning")] if identity else [])
