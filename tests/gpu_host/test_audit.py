# SPDX-License-Identifier: Apache-2.0
"""The audit, inside the server on a real kernel, finds the intended defects and no others."""

import xml.etree.ElementTree as ElementTree

import pytest
import yaml

from tests.gpu_host.topology import SERVER

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

#: The finding that tells each defect of topology.py.
FINDINGS = {
    "BARs too large for the address space": "address_space.too_small",
    "companion held by a host driver": "companion.taken",
    "degraded link": "link.narrow",
    "group with a foreign device": "group.foreign",
    "group with another GPU": "group.shared",
    "links not told": "fabric.unknown",
    "no NUMA node": "numa.gpu_without_node",
    "no huge pages": "hugepages.none",
    "no reset method": "reset.none",
}
#: Verdicts by the worst defect; a GPU without one of these is ready.
UNFIT = {"group with a foreign device", "group with another GPU", "no reset method"}
CONFIGURE = {"companion held by a host driver"}
GPUS = sorted(name for name in SERVER.endpoints if SERVER[name].kind == "gpu")


def wrong(observed, subject):
    """Ids of the findings about a GPU or the host that are not well, verdicts left out."""
    return {
        finding["Finding"]
        for finding in observed["audit"]["findings"]
        if finding["Subject"] == subject
        and finding["Severity"] != "ok"
        and finding["Finding"] != "verdict"
    }


def verdict(observed, name):
    (found,) = (
        finding["Found"]
        for finding in observed["audit"]["findings"]
        if finding["Finding"] == "verdict" and finding["Subject"] == SERVER.address(name)
    )
    return found.partition(":")[0]


def inventory(observed):
    return yaml.safe_load(observed.result.read("host.yaml"))


@pytest.mark.parametrize("name", GPUS)
def test_the_audit_finds_the_intended_defects_of_a_gpu_and_no_others(plain, name):
    expected = {FINDINGS[defect] for defect in SERVER[name].defects}
    if SERVER[name].modules:
        # Its driver is loaded and would take it if it knew the stand-in.
        expected.add("driver.could_take")
    assert wrong(plain, SERVER.address(name)) == expected


@pytest.mark.parametrize("name", GPUS)
def test_the_verdict_follows_from_the_defects(plain, name):
    defects = set(SERVER[name].defects)
    expected = "ready after configuration" if defects & CONFIGURE else "ready"
    assert verdict(plain, name) == ("unfit" if defects & UNFIT else expected)


def test_the_audit_finds_the_intended_defects_of_the_host_and_no_others(plain):
    assert wrong(plain, "host") == {FINDINGS[defect] for defect in SERVER.defects}


def test_a_failure_is_the_commands_exit_status(plain):
    assert plain["audit"]["status"] == 2, plain["audit"]["error"]


def test_the_inventory_names_every_accelerator_and_nothing_else(plain):
    found = {gpu["address"] for gpu in inventory(plain)["gpus"]}
    assert found == set(SERVER.gpus())


def test_the_inventory_agrees_with_libvirt_on_every_device(plain):
    # The audit was made before the virtual functions.
    expected = {
        address: device
        for address, device in libvirt(plain).items()
        if address not in plain["virtual_functions"]
    }
    found = {
        device["address"]: (device.get("numa_node"), device.get("iommu_group"))
        for device in inventory(plain)["devices"]
    }
    assert found == expected


def libvirt(observed):
    """NUMA node and IOMMU group of every PCI device by address."""
    found = {}
    for text in observed["nodedev"].values():
        capability = ElementTree.fromstring(text).find("capability[@type='pci']")
        domain, bus, slot, function = (
            int(capability.findtext(part)) for part in ("domain", "bus", "slot", "function")
        )
        numa, group = capability.find("numa"), capability.find("iommuGroup")
        found[f"{domain:04x}:{bus:02x}:{slot:02x}.{function}"] = (
            None if numa is None else int(numa.get("node")),
            None if group is None else int(group.get("number")),
        )
    return found


@pytest.mark.parametrize("name", ["a100-ready", "h100", "l40s", "mi210-a"])
def test_a_configured_gpu_has_no_defects_left(configured, name):
    assert wrong(configured, SERVER.address(name)) == set()
    assert verdict(configured, name) == "ready"


def test_configuration_does_not_fix_what_is_wrong_with_the_hardware(configured):
    for name in GPUS:
        if set(SERVER[name].defects) & UNFIT:
            assert verdict(configured, name) == "unfit"


def test_the_audit_tells_an_iommu_that_the_kernel_does_not_use(iommu_off):
    assert "iommu.off" in wrong(iommu_off, "host")
    assert verdict(iommu_off, "a100-ready") == "ready after configuration"


def test_the_audit_tells_a_board_without_an_iommu(without_iommu):
    assert "iommu.no_firmware" in wrong(without_iommu, "host")
    assert verdict(without_iommu, "a100-ready") != "ready"
