# SPDX-License-Identifier: Apache-2.0
"""VFIO modules, secure boot and lockdown."""

import dataclasses

import pytest

from nova_gpu_passthrough.host.checks.kernel import check
from nova_gpu_passthrough.inventory.findings import Severity
from nova_gpu_passthrough.inventory.host import Kernel, ModuleState
from tests.unit.audited import HGX, audit_machine, only


def _findings(**kernel):
    inventory = dataclasses.replace(audit_machine(HGX), kernel=Kernel("6.8", **kernel))
    return list(check(inventory))


@pytest.mark.parametrize("state", [ModuleState.LOADED, ModuleState.BUILTIN, ModuleState.AVAILABLE])
def test_a_module_in_any_state_but_missing(state):
    findings = _findings(modules={"vfio_pci": state})
    assert [finding.id for finding in findings] == ["vfio.present"]
    assert str(state) in findings[0].found


def test_a_kernel_without_vfio():
    finding = only(_findings(modules={"vfio_pci": ModuleState.MISSING}), "vfio.missing")
    assert finding.severity is Severity.FAILURE
    assert "6.8" in finding.found


def test_unknown_modules_are_not_judged():
    assert _findings() == []
    assert _findings(modules={"nouveau": ModuleState.LOADED}) == []


@pytest.mark.parametrize(
    ("lockdown", "secure_boot", "identity"),
    [
        ("none", False, "kernel.secure_boot"),
        ("integrity", True, "kernel.secure_boot"),
        (None, True, "kernel.secure_boot"),
        ("integrity", None, "kernel.secure_boot"),
        ("confidentiality", True, "kernel.lockdown"),
    ],
)
def test_secure_boot_and_lockdown(lockdown, secure_boot, identity):
    (finding,) = _findings(lockdown=lockdown, secure_boot=secure_boot)
    assert finding.id == identity
    assert "None" not in finding.found


@pytest.mark.parametrize(
    ("lockdown", "secure_boot", "signed"),
    [("none", False, False), (None, False, False), ("none", True, True), ("integrity", None, True)],
)
def test_only_a_locked_down_kernel_requires_signed_drivers(lockdown, secure_boot, signed):
    (finding,) = _findings(lockdown=lockdown, secure_boot=secure_boot)
    assert ("must be signed" in finding.found) == signed
    assert "no obstacle" in finding.found


def test_the_command_line_is_shown():
    finding = only(_findings(command_line="iommu=pt"), "kernel.command_line")
    assert finding.found == "iommu=pt"
