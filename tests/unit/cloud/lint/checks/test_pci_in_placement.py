# SPDX-License-Identifier: Apache-2.0
import pytest

from tests.unit.cloud.lint.builders import COMPUTE, SHARED


@pytest.mark.parametrize("value", ["report_in_placement = false", ""])
def test_a_compute_node_that_does_not_report_is_reported_for_both_sides(site, all_findings, value):
    site.replace("hgx1", COMPUTE, "report_in_placement = true", value)
    assert all_findings(site) == [
        ("pci.not_reported", "nova-compute@hgx1", "failure"),
        ("pci.asked_too_early", "nova@control", "failure"),
    ]


def test_a_control_plane_that_does_not_request_devices_is_reported(site, all_findings):
    site.replace("control", SHARED, "pci_in_placement = true", "")
    findings = all_findings(site)
    assert ("pci.not_asked", "nova@control", "failure") in findings
    assert {identity for identity, _, _ in findings} == {"pci.not_asked", "alias.no_ids"}


def test_a_service_that_differs_from_the_others_is_reported(site, all_findings):
    text = site.path("control", SHARED).read_text()
    off = text.replace("pci_in_placement = true", "pci_in_placement = no")
    site.add("other", off, "etc/kolla/nova-conductor/nova.conf")
    subjects = {
        subject for identity, subject, _ in all_findings(site) if identity == "pci.not_asked"
    }
    assert subjects == {"nova-conductor@other"}
