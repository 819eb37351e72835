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
def test_a_value_that_nova_refuses_is_reported(site, all_findings, host, section, option, value):
    site.add(host, f"[{section}]\n{option} = {value}\n")
    assert ("option.invalid", "failure") in [(i, severity) for i, _, severity in all_findings(site)]


def test_the_finding_has_file_line_section_and_option(site, only_finding):
    site.add("control", "[filter_scheduler]\n\nhost_subset_size = many\n")
    finding = only_finding(site)
    path = site.path("control", "etc/nova/nova.conf.d/99-local.conf")
    assert finding.source == f"{path}:3 [filter_scheduler] host_subset_size"
    assert "'many'" in finding.found


def test_options_of_placement_are_checked(site, all_findings):
    site.replace("control", PLACEMENT, "breadth-first", "breadth")
    ids = [identity for identity, _, _ in all_findings(site)]
    assert "option.invalid" in ids


def test_a_reference_to_another_option_is_not_checked(site, all_findings):
    site.replace("hgx1", COMPUTE, "num_pcie_ports = 16", "num_pcie_ports = $ports")
    assert "option.invalid" not in [identity for identity, _, _ in all_findings(site)]


def test_an_unknown_option_in_gpu_passthrough_is_reported(site, only_finding):
    site.replace("control", SCHEDULER, "policy = pack", "policy = pack\nonly_gpu_server = true")
    finding = only_finding(site)
    assert (finding.id, finding.severity) == ("option.unknown", "warning")
    assert "only_gpu_servers" in finding.fix
