# SPDX-License-Identifier: Apache-2.0
"""The audit inside the server, on a real kernel, reports the intended defects and no others."""

import xml.etree.ElementTree as ElementTree

import pytest
import yaml

from tests.gpu_host.topology import SERVER

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

#: The finding for each defect of topology.py.
FINDINGS = {
    "BARs too large for the address space": "address_space.too_small",
    "companion held by a host driver": "companion.taken",
    "degraded link": "link.narrow",
    "group with a foreign device": "group.foreign",
    "group with another GPU": "group.shared",
    "links unknown": "fabric.unknown",
    "no NUMA node": "numa.gpu_without_node",
    "no huge pages": "hugepages.none",
    "no reset method": "reset.none",
}
#: Defects that make a GPU unfit, or ready after configuration; other GPUs are ready.
UNFIT = {"group with a foreign device", "group with another GPU", "no reset method"}
CONFIGURE = {"companion held by a host driver"}
GPUS = sorted(name for name in SERVER.endpoints if SERVER[name].kind == "gpu")


def problems(observed, subject):
    """Return the ids of warnings and failures of a GPU or the host, without verdicts."""
    return {
        finding["Finding"]
        for finding in observed["audit"]["findings"]
        if finding["Subject"] == subject
        and finding["Severity"] != "ok"
        and finding["Finding"] != "verdict"
    }


def verdict(observed, name):
    (text,) = (
        finding["Found"]
        for finding in observed["audit"]["findings"]
        if finding["Finding"] == "verdict" and finding["Subject"] == SERVER.address(name)
    )
    return text.partition(":")[0]


def inventory(observed):
    return yaml.safe_load(observed.result.read("host.yaml"))


@pytest.mark.parametrize("name", GPUS)
def test_the_audit_reports_the_intended_defects_of_a_gpu_and_no_others(plain, name):
    expected = {FINDINGS[defect] for defect in SERVER[name].defects}
    if SERVER[name].modules:
        # Its driver is loaded and would bind it if it supported the stand-in.
        expected.add("driver.could_take")
    assert problems(plain, SERVER.address(name)) == expected


@pytest.mark.parametrize("name", GPUS)
def test_the_verdict_follows_from_the_defects(plain, name):
    defects = set(SERVER[name].defects)
    expected = "ready after configuration" if defects & CONFIGURE else "ready"
    assert verdict(plain, name) == ("unfit" if defects & UNFIT else expected)


def test_the_audit_reports_the_intended_defects_of_the_host_and_no_others(plain):
    assert problems(plain, "host") == {FINDINGS[defect] for defect in SERVER.defects}


def test_a_failure_is_the_commands_exit_status(plain):
    assert plain["audit"]["status"] == 2, plain["audit"]["error"]


def test_the_inventory_names_every_accelerator_and_nothing_else(plain):
    addresses = {gpu["address"] for gpu in inventory(plain)["gpus"]}
    assert addresses == set(SERVER.gpus())


def test_the_inventory_agrees_with_libvirt_on_every_device(plain):
    # The audit ran before the virtual functions were created.
    expected = {
        address: device
        for address, device in libvirt(plain).items()
        if address not in plain["virtual_functions"]
    }
    audited = {
        device["address"]: (device.get("numa_node"), device.get("iommu_group"))
        for device in inventory(plain)["devices"]
    }
    assert audited == expected


def libvirt(observed):
    """Return NUMA node and IOMMU group of every PCI device, by address."""
    devices = {}
    for text in observed["nodedev"].values():
        capability = ElementTree.fromstring(text).find("capability[@type='pci']")
        domain, bus, slot, function = (
            int(capability.findtext(name)) for name in ("domain", "bus", "slot", "function")
        )
        numa, group = capability.find("numa"), capability.find("iommuGroup")
        devices[f"{domain:04x}:{bus:02x}:{slot:02x}.{function}"] = (
            None if numa is None else int(numa.get("node")),
            None if group is None else int(group.get("number")),
        )
    return devices


@pytest.mark.parametrize("name", ["a100-ready", "h100", "l40s", "mi210-a"])
def test_a_configured_gpu_has_no_defects_left(configured, name):
    assert problems(configured, SERVER.address(name)) == set()
    assert verdict(configured, name) == "ready"


def test_configuration_does_not_fix_hardware_defects(configured):
    for name in GPUS:
        if set(SERVER[name].defects) & UNFIT:
            assert verdict(configured, name) == "unfit"


def test_the_audit_reports_an_iommu_that_the_kernel_does_not_use(iommu_off):
    assert "iommu.off" in problems(iommu_off, "host")
    assert verdict(iommu_off, "a100-ready") == "ready after configuration"


def test_the_audit_reports_a_board_without_an_iommu(without_iommu):
    assert "iommu.no_firmware" in problems(without_iommu, "host")
    assert verdict(without_iommu, "a100-ready") != "ready"
