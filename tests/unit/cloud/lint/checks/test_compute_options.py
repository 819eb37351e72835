# SPDX-License-Identifier: Apache-2.0
import re

import pytest

from tests.unit.cloud.lint.builders import COMPUTE


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
def test_what_differs_from_the_fleet_file_is_found(site, only, option, value, identity, severity):
    path = site.path("hgx1", COMPUTE)
    text, number = re.subn(rf"^{option} = .*$", f"{option} = {value}", path.read_text(), flags=re.M)
    assert number
    path.write_text(text)
    finding = only(site)
    assert (finding.id, finding.severity) == (identity, severity)
    assert finding.subject == "nova-compute@hgx1"


def test_what_is_missing_is_found(site, found):
    site.path("l40s1", COMPUTE).unlink()
    ids = {identity for identity, subject, _ in found(site) if subject == "nova-compute@l40s1"}
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


def test_the_same_cpus_written_otherwise_are_no_difference(site, found):
    text = site.path("hgx1", COMPUTE).read_text()
    (old,) = re.findall(r"^cpu_dedicated_set = (.*)$", text, re.M)
    site.replace(
        "hgx1", COMPUTE, f"cpu_dedicated_set = {old}", f"cpu_dedicated_set = {old},500,^500"
    )
    assert found(site) == []


def test_a_mode_that_also_serves_is_no_difference(site, found):
    site.replace("hgx1", COMPUTE, "cpu_mode = host-passthrough", "cpu_mode = maximum")
    assert found(site) == []
