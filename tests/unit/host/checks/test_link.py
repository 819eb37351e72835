# SPDX-License-Identifier: Apache-2.0
"""PCIe links: width and speed against what card and slot can do."""

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


def test_a_degraded_link_asks_for_a_look_at_the_card():
    findings = _findings(32.0, 8, 32.0, 16, 32.0, 16)
    assert set(findings) == {"link.narrow"}
    assert findings["link.narrow"].found == "runs at 32 GT/s x8, the card can do x16, the slot x16"
    assert "Reseat" in findings["link.narrow"].fix


def test_a_narrow_slot_asks_for_another():
    assert "wider slot" in _findings(32.0, 8, 32.0, 16, 32.0, 8)["link.narrow"].fix


def test_an_idle_gpu_may_be_slow():
    findings = _findings(2.5, 16, 32.0, 16, 32.0, 16)
    assert set(findings) == {"link.slow"}
    assert "under load" in findings["link.slow"].fix


def test_an_old_slot_is_slow_for_good():
    finding = _findings(16.0, 16, 32.0, 16, 16.0, 16)["link.slow"]
    assert "generation" in finding.fix
    assert "the slot 16 GT/s" in finding.found


def test_both_are_told():
    assert set(_findings(8.0, 4, 32.0, 16, None, None)) == {"link.narrow", "link.slow"}


@pytest.mark.parametrize(
    "values",
    [
        (None, 16, 32.0, 16, 32.0, 16),
        (32.0, None, 32.0, 16, 32.0, 16),
        (32.0, 16, None, None, None, None),
        # More than the card says it can: no complaint.
        (64.0, 16, 32.0, 8, 32.0, 16),
    ],
)
def test_what_is_not_told_is_no_defect(values):
    assert set(_findings(*values)) == {"link.full"}


def test_without_a_link_there_is_nothing_to_say():
    assert _findings() == {}
