# SPDX-License-Identifier: Apache-2.0
"""Device types in Nova, and VFs that prevent passthrough."""

import dataclasses

import pytest

from nova_gpu_passthrough.host.checks.sriov import check
from nova_gpu_passthrough.inventory.findings import Severity
from tests.unit.audited import HGX, audit_machine, changed

GPU, OTHER = "0000:18:00.0", "0000:2a:00.0"


def _finding(address=GPU, **changes):
    inventory = changed(audit_machine(HGX), GPU, **changes)
    (finding,) = (finding for finding in check(inventory) if finding.subject == address)
    return finding


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"sriov_total_vfs": None}, "type-PCI in Nova; no SR-IOV"),
        ({"sriov_total_vfs": 0}, "type-PCI in Nova; no SR-IOV"),
        (
            {"sriov_total_vfs": 16},
            (
                "type-PF in Nova; SR-IOV capable (16 VFs, none enabled): its alias needs "
                "device_type type-PF"
            ),
        ),
        (
            {"sriov_total_vfs": None, "physical_function": "0000:17:00.0"},
            "type-VF in Nova; a VF of 0000:17:00.0: its alias needs device_type type-VF",
        ),
    ],
)
def test_device_types(changes, found):
    finding = _finding(**changes)
    assert (finding.id, finding.severity, finding.found) == ("sriov.type", Severity.OK, found)


def test_enabled_vfs_prevent_passthrough():
    finding = _finding(sriov_vfs=4)
    assert finding.id == "sriov.vfs_enabled"
    assert finding.found == "4 of 16 VFs are enabled"


@pytest.mark.parametrize(
    ("driver", "fails"),
    [("vfio-pci", True), ("pci-pf-stub", False), ("pci-stub", False), ("nvidia", False)],
)
def test_vfio_does_not_open_vfs_of_a_function_that_it_holds(driver, fails):
    inventory = changed(audit_machine(HGX), OTHER, driver=driver)
    inventory = changed(inventory, GPU, sriov_total_vfs=None, physical_function=OTHER)
    (finding,) = (finding for finding in check(inventory) if finding.subject == GPU)
    assert finding.id == ("sriov.pf_on_vfio" if fails else "sriov.type")


def test_a_vf_whose_pf_is_not_among_the_devices():
    assert _finding(sriov_total_vfs=None, physical_function="0000:ff:00.0").id == "sriov.type"


def test_an_hwloc_export_is_not_judged():
    assert list(check(dataclasses.replace(audit_machine(HGX), source="hwloc"))) == []
