# SPDX-License-Identifier: Apache-2.0
"""The IOMMU, interrupt remapping, and the kernel command line."""

import dataclasses

import pytest

from nova_gpu_passthrough.host.checks.iommu import check
from nova_gpu_passthrough.inventory.findings import Remedy, Severity
from nova_gpu_passthrough.inventory.host import Cpu, Iommu, IommuKind, Kernel
from tests.unit.audited import HGX, audit_machine, only


def _host(iommu, command_line="quiet", vendor="intel", source="sysfs"):
    return dataclasses.replace(
        audit_machine(HGX),
        iommu=iommu,
        kernel=Kernel("6.8", command_line),
        cpu=Cpu(vendor),
        source=source,
    )


def _ids(inventory):
    return [finding.id for finding in check(inventory)]


ON = Iommu(IommuKind.INTEL, "DMAR", 80, True)


def test_an_active_iommu():
    assert _ids(_host(ON)) == ["iommu.on", "interrupt_remapping.on"]
    assert only(check(_host(ON)), "iommu.on").found == "intel IOMMU on, 80 groups"


@pytest.mark.parametrize(
    "option",
    ["intel_iommu=off", "amd_iommu=off", "iommu=off", "intel_iommu=sm_on,off", "iommu=off,noagp"],
)
def test_an_option_that_disables_the_iommu_is_named(option):
    finding = only(check(_host(Iommu(None, "DMAR"), f"quiet {option} ro")), "iommu.off")
    assert option in finding.found
    assert option in finding.fix
    assert finding.remedy is Remedy.CONFIGURATION


@pytest.mark.parametrize("option", ["intel_iommu=on,sm_off", "iommu=pt", "xiommu=off", "iommu="])
def test_other_options_are_not_named(option):
    finding = only(check(_host(Iommu(None, "DMAR"), option)), "iommu.off")
    assert option not in finding.found


@pytest.mark.parametrize(
    ("vendor", "word"), [("intel", "VT-d"), ("amd", "AMD-Vi"), ("arm", "SMMU")]
)
def test_firmware_without_iommu_is_named_by_vendor(vendor, word):
    finding = only(check(_host(Iommu(), vendor=vendor)), "iommu.no_firmware")
    assert word in finding.fix
    assert finding.remedy is Remedy.FIRMWARE


def test_an_unknown_vendor_gets_no_advice_about_firmware():
    finding = only(check(_host(Iommu(), vendor=None)), "iommu.off")
    assert "None" not in finding.found
    assert finding.severity is Severity.FAILURE


@pytest.mark.parametrize("vendor", ["intel", "amd", "arm"])
def test_the_suggested_options_depend_on_the_processor(vendor):
    finding = only(check(_host(Iommu(None, "DMAR"), vendor=vendor)), "iommu.off")
    assert ("intel_iommu=on" in finding.fix) == (vendor == "intel")


@pytest.mark.parametrize(
    ("iommu", "identity", "severity"),
    [
        (dataclasses.replace(ON, interrupt_remapping=False), "off", Severity.FAILURE),
        (
            dataclasses.replace(ON, interrupt_remapping=False, unsafe_interrupts=True),
            "unsafe",
            Severity.WARNING,
        ),
        (dataclasses.replace(ON, interrupt_remapping=None), "unknown", Severity.OK),
        (Iommu(IommuKind.SMMU, "IORT", 8, False), "unknown", Severity.OK),
        (dataclasses.replace(ON, unsafe_interrupts=True), "on", Severity.OK),
    ],
)
def test_interrupt_remapping(iommu, identity, severity):
    finding = only(check(_host(iommu)), f"interrupt_remapping.{identity}")
    assert finding.severity is severity


def test_no_finding_about_interrupts_without_an_iommu():
    assert _ids(_host(Iommu(None, "DMAR"))) == ["iommu.off"]


def test_an_acs_override_is_dangerous():
    inventory = _host(ON, "pcie_acs_override=downstream,multifunction")
    finding = only(check(inventory), "acs.overridden")
    assert "pcie_acs_override=downstream,multifunction" in finding.fix


def test_an_hwloc_export_is_not_judged():
    assert _ids(_host(Iommu(), source="hwloc")) == []


def test_an_unknown_iommu_is_no_failure():
    finding = only(check(_host(Iommu(known=False))), "iommu.unknown")
    assert finding.severity is Severity.WARNING


@pytest.mark.parametrize(
    ("bits", "host_bits", "narrow"),
    [(39, 46, True), (45, 52, True), (46, 52, False), (48, 46, False), (39, 39, False)],
)
def test_an_iommu_narrower_than_guests_addresses(bits, host_bits, narrow):
    # UEFI uses at most 46 bits.
    inventory = dataclasses.replace(
        _host(dataclasses.replace(ON, address_bits=bits)), cpu=Cpu("intel", None, host_bits)
    )
    findings = [finding for finding in check(inventory) if finding.id == "iommu.narrow"]
    assert bool(findings) is narrow
    assert all(f"hw:maxphysaddr_bits={bits}" in finding.fix for finding in findings)


@pytest.mark.parametrize(("bits", "host_bits"), [(None, 46), (39, None)])
def test_unknown_widths_are_not_compared(bits, host_bits):
    inventory = dataclasses.replace(
        _host(dataclasses.replace(ON, address_bits=bits)), cpu=Cpu("intel", None, host_bits)
    )
    assert "iommu.narrow" not in _ids(inventory)
