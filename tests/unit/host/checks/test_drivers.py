# SPDX-License-Identifier: Apache-2.0
"""Drivers that hold GPUs and companions, and drivers that would bind them."""

import dataclasses

import pytest

from nova_gpu_passthrough.host.checks.drivers import check, modules_that_could_bind
from nova_gpu_passthrough.inventory.drivers import is_vfio
from nova_gpu_passthrough.inventory.findings import Remedy, Severity
from nova_gpu_passthrough.inventory.host import Kernel, ModuleState
from tests.unit.audited import L40S, audit_machine, changed

GPU, AUDIO = "0000:01:00.0", "0000:01:00.1"


def _findings(address=GPU, **changes):
    inventory = changed(audit_machine(L40S), address, **changes)
    return {finding.id: finding for finding in check(inventory) if finding.subject == GPU}


@pytest.mark.parametrize(
    "driver",
    ["vfio-pci", "vfio_pci", "nvgrace-gpu-vfio-pci", "mlx5_vfio_pci", "pci-stub", "vfio-pci-core"],
)
def test_drivers_that_hold_a_function_for_vfio(driver):
    assert is_vfio(driver)


@pytest.mark.parametrize("driver", [None, "", "nouveau", "nvidia", "pci-pf-stub", "pcieport"])
def test_drivers_that_use_a_function(driver):
    assert not is_vfio(driver)


@pytest.mark.parametrize("driver", ["nouveau", "nvidia", "nvidia-drm"])
def test_a_gpu_held_by_a_host_driver(driver):
    finding = _findings(driver=driver)["driver.taken"]
    assert finding.severity is Severity.FAILURE
    assert finding.remedy is Remedy.CONFIGURATION
    assert finding.found == f"held by {driver}"


@pytest.mark.parametrize(("modules", "named"), [(("nouveau", "nvidia"), "nouveau, nvidia"),
                                                (("vfio_pci", "nouveau"), "nouveau")])  # fmt: skip
def test_a_gpu_that_a_driver_could_bind(modules, named):
    finding = _findings(driver=None, modules=modules)["driver.could_take"]
    assert finding.severity is Severity.WARNING
    assert f"; {named} would bind it" in finding.found


def test_a_gpu_that_no_driver_would_bind():
    facts = dataclasses.replace(audit_machine(L40S), kernel=Kernel("6.8", modules={}))
    facts = changed(facts, GPU, driver=None, modules=())
    assert "driver.none" in {finding.id for finding in check(facts) if finding.subject == GPU}


@pytest.mark.parametrize(
    ("override", "identity"), [("vfio-pci", "driver.none"), ("nvidia", "driver.could_take")]
)
def test_a_driver_override_decides_which_driver_binds(override, identity):
    assert identity in _findings(driver=None, driver_override=override, modules=("nouveau",))


@pytest.mark.parametrize("address", [GPU, AUDIO])
def test_the_usual_drivers_are_used_without_aliases(address):
    facts = audit_machine(L40S)
    modules = {"nouveau": ModuleState.AVAILABLE, "nvidia": ModuleState.MISSING,
               "snd_hda_intel": ModuleState.LOADED}  # fmt: skip
    facts = dataclasses.replace(facts, kernel=Kernel("6.8", modules=modules))
    facts = changed(facts, address, modules=())
    expected = ("nouveau",) if address == GPU else ("snd_hda_intel",)
    assert modules_that_could_bind(facts, facts.by_address[address]) == expected
    facts = dataclasses.replace(facts, kernel=Kernel())
    assert modules_that_could_bind(facts, facts.by_address[address]) == ()


@pytest.mark.parametrize(
    ("changes", "identity", "severity"),
    [
        ({"driver": "vfio-pci"}, "companion.vfio", Severity.OK),
        ({"driver": "snd_hda_intel"}, "companion.taken", Severity.FAILURE),
        ({"driver": None, "modules": ("snd_hda_intel",)}, "companion.could_take", Severity.WARNING),
        (
            {"driver": None, "modules": ("snd_hda_intel",), "driver_override": "vfio-pci"},
            "companion.none",
            Severity.OK,
        ),
    ],
)
def test_companions(changes, identity, severity):
    finding = _findings(AUDIO, **changes)[identity]
    assert finding.severity is severity
    # Findings about a companion have its GPU as subject.
    assert finding.subject == GPU
    assert "companion .1 (audio)" in finding.found
    assert AUDIO in finding.source


def test_a_pf_with_vfs_needs_its_driver():
    findings = _findings(driver="nvidia", sriov_total_vfs=16, sriov_vfs=2)
    assert findings["driver.pf"].severity is Severity.OK
    assert "driver.taken" not in findings


def test_the_boot_display_is_reported_together_with_its_driver():
    assert {"boot_vga", "driver.vfio"} <= set(_findings(boot_vga=True))


def test_an_hwloc_export_is_not_judged():
    assert list(check(dataclasses.replace(audit_machine(L40S), source="hwloc"))) == []
