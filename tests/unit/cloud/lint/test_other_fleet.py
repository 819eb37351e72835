# SPDX-License-Identifier: Apache-2.0
"""Configuration of another fleet is one finding, not hundreds."""

import dataclasses

from nova_gpu_passthrough.cloud.lint.facts import Facts
from tests.unit.cloud.lint.builders import COMPUTE, SHARED, Site
from tests.unit.generate.builders import hgx


def _of(site, other):
    """Return the fleet of a site with the configuration of another."""
    other.root, site.root = site.root, other.root
    return site


def test_the_configuration_of_another_fleet_is_one_finding(site, tmp_path, only_finding):
    other = Site(tmp_path / "other", inventories=[hgx(f"x{n}1") for n in range(3)])
    finding = only_finding(_of(site, other))
    assert (finding.id, finding.subject) == ("config.other_fleet", "configuration")
    assert finding.severity == "failure"
    assert finding.found == "it is of x01, x11, x21, and the fleet file has hgx1, l40s1"
    assert "l40s1" in finding.fix


def test_long_lists_of_hosts_are_short(site, tmp_path, only_finding):
    other = Site(tmp_path / "other", inventories=[hgx("x1")])
    for number in range(2, 40):
        other.add(f"x{number * 2}", other.path("x1", COMPUTE).read_text(), COMPUTE)
    assert "x22 and 31 more, and" in only_finding(_of(site, other)).found


def test_the_cloud_is_still_compared(site, tmp_path, all_findings):
    other = Site(tmp_path / "other", inventories=[hgx("x1")])
    _of(site, other)
    facts = site.facts()
    assert isinstance(facts, Facts)
    assert [identity for identity, *_ in all_findings(site)] == ["config.other_fleet"]
    changed = dataclasses.replace(facts.resolved.file, fixed_flavors=())
    assert changed.path == facts.fixes.fleet


def test_one_host_of_the_fleet_is_enough_to_compare(site, tmp_path, all_findings):
    other = Site(tmp_path / "other", inventories=[hgx("x1")])
    for name in (COMPUTE, SHARED):
        site.add("x1", other.path("x1", name).read_text(), name)
    assert "config.other_fleet" not in {identity for identity, *_ in all_findings(site)}


def test_the_control_plane_alone_is_compared(site, tmp_path, all_findings):
    """Its files do not tell which hosts it is for."""
    other = Site(tmp_path / "other", inventories=[hgx("x1")])
    site.path("control", SHARED).write_text(other.path("control", SHARED).read_text())
    assert [identity for identity, *_ in all_findings(site)] == ["alias.missing", "alias.missing"]
