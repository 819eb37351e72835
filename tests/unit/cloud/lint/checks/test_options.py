# SPDX-License-Identifier: Apache-2.0
import pytest

from tests.unit.cloud.lint.builders import COMPUTE, PLACEMENT, SCHEDULER


@pytest.mark.parametrize(
    ("host", "section", "option", "value"),
    [
        ("hgx1", "libvirt", "num_pcie_ports", "29"),
        ("control", "filter_scheduler", "host_subset_size", "none"),
        ("control", "quota", "unified_limits_resource_strategy", "requires"),
        ("control", "gpu_passthrough", "only_gpu_servers", "maybe"),
        ("control", "gpu_passthrough", "avoid_gpu_hosts", "2"),
    ],
)
def test_a_value_that_nova_refuses_is_found(site, found, host, section, option, value):
    site.add(host, f"[{section}]\n{option} = {value}\n")
    assert ("option.invalid", "failure") in [(i, severity) for i, _, severity in found(site)]


def test_the_finding_has_file_line_section_and_option(site, only):
    site.add("control", "[filter_scheduler]\n\nhost_subset_size = many\n")
    finding = only(site)
    path = site.path("control", "etc/nova/nova.conf.d/99-local.conf")
    assert finding.source == f"{path}:3 [filter_scheduler] host_subset_size"
    assert "'many'" in finding.found


def test_placements_values_are_looked_at_too(site, found):
    site.replace("control", PLACEMENT, "breadth-first", "breadth")
    ids = [identity for identity, _, _ in found(site)]
    assert "option.invalid" in ids


def test_a_reference_to_another_option_is_left_alone(site, found):
    site.replace("hgx1", COMPUTE, "num_pcie_ports = 16", "num_pcie_ports = $ports")
    assert "option.invalid" not in [identity for identity, _, _ in found(site)]


def test_a_misspelt_option_of_ours_is_found(site, only):
    site.replace("control", SCHEDULER, "policy = pack", "policy = pack\nonly_gpu_server = true")
    finding = only(site)
    assert (finding.id, finding.severity) == ("option.unknown", "warning")
    assert "only_gpu_servers" in finding.fix
