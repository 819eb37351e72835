# SPDX-License-Identifier: Apache-2.0
"""PCIe links: width and speed compared with what card and slot support."""

import pytest

from nova_gpu_passthrough.host.checks.link import check
from nova_gpu_passthrough.inventory.pci import PcieLink
from tests.unit.audited import HGX, audit_machine, changed

GPU = "0000:18:00.0"


def _findings(*values):
    inventory = changed(audit_machine(HGX), GPU, link=PcieLink(*values) if values else None)
    return {finding.id: finding for finding in check(inventory) if finding.subject == GPU}


def test_a_link_at_its_best():
    findings = _findings(32.0, 16, 32.0, 16, 32.0, 16)
    assert set(findings) == {"link.full"}
    assert findings["link.full"].found == "runs at 32 GT/s x16"


def test_the_fix_of_a_degraded_link_is_to_check_the_card():
    findings = _findings(32.0, 8, 32.0, 16, 32.0, 16)
    assert set(findings) == {"link.narrow"}
    assert (
        findings["link.narrow"].found == "runs at 32 GT/s x8, the card supports x16, the slot x16"
    )
    assert "Reseat" in findings["link.narrow"].fix


def test_the_fix_of_a_narrow_slot_is_a_wider_slot():
    assert "wider slot" in _findings(32.0, 8, 32.0, 16, 32.0, 8)["link.narrow"].fix


def test_an_idle_gpu_may_be_slow():
    findings = _findings(2.5, 16, 32.0, 16, 32.0, 16)
    assert set(findings) == {"link.slow"}
    assert "under load" in findings["link.slow"].fix


def test_the_fix_of_a_slow_slot_is_a_newer_slot():
    finding = _findings(16.0, 16, 32.0, 16, 16.0, 16)["link.slow"]
    assert "generation" in finding.fix
    assert "the slot 16 GT/s" in finding.found


def test_a_narrow_and_slow_link_is_reported_twice():
    assert set(_findings(8.0, 4, 32.0, 16, None, None)) == {"link.narrow", "link.slow"}


@pytest.mark.parametrize(
    "values",
    [
        (None, 16, 32.0, 16, 32.0, 16),
        (32.0, None, 32.0, 16, 32.0, 16),
        (32.0, 16, None, None, None, None),
        # Faster than the card's reported maximum is no defect.
        (64.0, 16, 32.0, 8, 32.0, 16),
    ],
)
def test_unknown_speeds_and_widths_are_no_defect(values):
    assert set(_findings(*values)) == {"link.full"}


def test_no_finding_without_a_link():
    assert _findings() == {}
