# SPDX-License-Identifier: Apache-2.0
import re

import pytest

from tests.unit.cloud.lint.builders import COMPUTE, Site


@pytest.mark.parametrize(
    ("option", "value", "identity", "severity"),
    [
        ("ram_allocation_ratio", "1.5", "compute.overcommit", "failure"),
        ("cpu_dedicated_set", "0-3", "compute.cpu_sets", "warning"),
        ("cpu_shared_set", "none", "compute.cpu_sets", "warning"),
        ("reserved_host_memory_mb", "512", "compute.reserved_memory", "warning"),
        ("reserved_huge_pages", "node:0,size:4,count:1", "compute.reserved_pages", "warning"),
        ("hw_machine_type", "x86_64=pc", "compute.machine_type", "warning"),
        ("cpu_mode", "host-model", "compute.cpu_mode", "failure"),
        ("num_pcie_ports", "2", "compute.pcie_ports", "warning"),
    ],
)
def test_a_difference_from_the_fleet_file_is_reported(
    site, only_finding, option, value, identity, severity
):
    path = site.path("hgx1", COMPUTE)
    text, number = re.subn(rf"^{option} = .*$", f"{option} = {value}", path.read_text(), flags=re.M)
    assert number
    path.write_text(text)
    finding = only_finding(site)
    assert (finding.id, finding.severity) == (identity, severity)
    assert finding.subject == "nova-compute@hgx1"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[vnc]\nenabled = yes\n", "[vnc] enabled is yes, and"),
        ("[spice]\nenabled = true\n", "[spice] enabled is true, and"),
    ],
)
def test_a_display_of_headless_hosts_is_reported(tmp_path, only_finding, text, words):
    site = Site(tmp_path, settings={"headless": True})
    site.add("hgx1", text)
    finding = only_finding(site)
    assert (finding.id, finding.subject) == ("compute.display", "nova-compute@hgx1")
    assert words in finding.found
    assert "# Remove enabled from /etc/nova/nova.conf.d/99-local.conf" in finding.fix


def test_the_vnc_display_is_on_by_default(tmp_path, only_finding):
    site = Site(tmp_path, settings={"headless": True})
    site.replace("hgx1", COMPUTE, "[vnc]\n", "[other]\n")
    assert "[vnc] enabled is true by default" in only_finding(site).found


def test_displays_are_the_operators_choice_without_the_setting(site, all_findings):
    site.add("hgx1", "[vnc]\nenabled = false\n")
    assert all_findings(site) == []


def test_missing_options_are_reported(site, all_findings):
    site.path("l40s1", COMPUTE).unlink()
    ids = {
        identity for identity, subject, _ in all_findings(site) if subject == "nova-compute@l40s1"
    }
    assert ids == {
        "compute.cpu_mode",
        "compute.cpu_sets",
        "compute.reserved_memory",
        "compute.reserved_pages",
        "compute.machine_type",
        "compute.pcie_ports",
        "device_spec.missing",
        "pci.not_reported",
    }


def test_an_equivalent_cpu_set_is_accepted(site, all_findings):
    text = site.path("hgx1", COMPUTE).read_text()
    (old,) = re.findall(r"^cpu_dedicated_set = (.*)$", text, re.M)
    site.replace(
        "hgx1", COMPUTE, f"cpu_dedicated_set = {old}", f"cpu_dedicated_set = {old},500,^500"
    )
    assert all_findings(site) == []


def test_an_equivalent_cpu_mode_is_accepted(site, all_findings):
    site.replace("hgx1", COMPUTE, "cpu_mode = host-passthrough", "cpu_mode = maximum")
    assert all_findings(site) == []
