# SPDX-License-Identifier: Apache-2.0
import pytest

from tests.unit.cloud.lint.builders import PLACEMENT, Site
from tests.unit.generate.builders import l40s

LINES = {
    "placement.candidates": "max_allocation_candidates = 1000",
    "placement.strategy": "allocation_candidates_generation_strategy = breadth-first",
    "placement.wide_trees": "optimize_for_wide_provider_trees = true",
}


@pytest.mark.parametrize("identity", LINES)
def test_a_missing_option_is_reported(site, only_finding, identity):
    site.replace("control", PLACEMENT, LINES[identity], "")
    finding = only_finding(site)
    assert (finding.id, finding.subject) == (identity, "placement@control")
    assert finding.severity == "failure"


def test_too_few_candidates_are_a_warning(site, only_finding):
    site.replace(
        "control", PLACEMENT, LINES["placement.candidates"], "max_allocation_candidates = 10"
    )
    finding = only_finding(site)
    assert (finding.id, finding.severity) == ("placement.candidates", "warning")


@pytest.mark.parametrize(("line", "shown"), [("", "is 10"), ("{} = 3", "is 3")])
def test_retries_of_placement_are_reported(site, only_finding, line, shown):
    name = "allocation_conflict_retry_count"
    site.replace("control", PLACEMENT, f"{name} = 1", line.format(name))
    finding = only_finding(site)
    assert (finding.id, finding.severity) == ("placement.retries", "warning")
    assert shown in finding.found


def test_a_missing_option_for_wide_trees_is_a_warning_with_few_gpus(tmp_path, only_finding):
    site = Site(tmp_path, inventories=[l40s("l40s1")])
    site.replace("control", PLACEMENT, LINES["placement.wide_trees"], "")
    finding = only_finding(site)
    assert (finding.id, finding.severity) == ("placement.wide_trees", "warning")
    assert "4^4" in finding.why


@pytest.mark.parametrize(
    ("release", "words"),
    [(31, "Placement must be 13.0.1 or newer"), (34, "Then restart Placement")],
)
def test_the_fix_names_the_placement_release_that_has_the_option(
    tmp_path, only_finding, release, words
):
    site = Site(tmp_path, settings={"release": release})
    site.replace("control", PLACEMENT, LINES["placement.wide_trees"], "")
    assert words in only_finding(site).fix
