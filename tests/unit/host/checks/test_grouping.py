# SPDX-License-Identifier: Apache-2.0
"""IOMMU groups: other members, and the bridge above the group."""

import dataclasses

import pytest

from nova_gpu_passthrough.host.checks.grouping import check
from nova_gpu_passthrough.inventory.findings import Severity
from nova_gpu_passthrough.inventory.host import Iommu
from nova_gpu_passthrough.inventory.pci import PciDevice, Role
from tests.trees import defects
from tests.unit.audited import HGX, L40S, audit_machine, changed

GPU, AUDIO, PORT = "0000:01:00.0", "0000:01:00.1", "0000:00:01.1"
OTHER = "0000:21:00.0"
FACTS = audit_machine(L40S)
GROUP = FACTS.by_address[GPU].iommu_group


def _findings(inventory, address=GPU):
    return {finding.id: finding for finding in check(inventory) if finding.subject == address}


def _with(class_code, role, driver, address="0000:01:01.0", group=GROUP):
    peer = PciDevice(address, class_code, "8086", "1572", role, iommu_group=group, driver=driver)
    devices = tuple(sorted((*FACTS.devices, peer), key=lambda device: device.address))
    return dataclasses.replace(FACTS, devices=devices)


def test_a_card_alone():
    finding = _findings(FACTS)["group.own"]
    assert finding.found == f"group {GROUP}: {GPU} (gpu, vfio-pci), {AUDIO} (audio, vfio-pci)"


def test_no_group():
    finding = _findings(changed(FACTS, GPU, iommu_group=None))["group.none"]
    assert finding.severity is Severity.FAILURE


def test_no_finding_about_groups_without_an_iommu():
    assert list(check(dataclasses.replace(FACTS, iommu=Iommu()))) == []


@pytest.mark.parametrize(
    ("class_code", "role", "driver", "identity"),
    [
        ("020000", Role.NIC, "i40e", "group.foreign"),
        ("020000", Role.NIC, "pci-pf-stub", "group.foreign"),
        ("020000", Role.NIC, None, "group.foreign_idle"),
        ("020000", Role.NIC, "vfio-pci", "group.foreign_idle"),
        ("020000", Role.NIC, "pci-stub", "group.foreign_idle"),
        ("060400", Role.BRIDGE, "pcieport", "group.own"),
        ("060400", Role.BRIDGE, None, "group.own"),
        ("060000", Role.BRIDGE, None, "group.own"),
        ("060100", Role.BRIDGE, "lpc_ich", "group.foreign"),
        ("060100", Role.BRIDGE, None, "group.own"),
        ("068000", Role.NVSWITCH, "nvidia-nvswitch", "group.foreign"),
    ],
)
def test_other_members_of_the_group(class_code, role, driver, identity):
    findings = _findings(_with(class_code, role, driver))
    assert set(findings) == {identity}


def test_other_members_are_named_with_their_drivers():
    finding = _findings(_with("020000", Role.NIC, "i40e"))["group.foreign"]
    assert finding.found == f"group {GROUP} also contains 0000:01:01.0 (nic, i40e)"


def test_a_function_of_the_card_that_is_no_companion_is_foreign():
    inventory = _with("010802", Role.STORAGE, "nvme", address="0000:01:00.2")
    assert set(_findings(inventory)) == {"group.foreign"}


def test_two_gpus_with_their_companions():
    inventory = changed(FACTS, OTHER, iommu_group=GROUP)
    inventory = changed(inventory, "0000:21:00.1", iommu_group=GROUP)
    for address in (GPU, OTHER):
        finding = _findings(inventory, address)["group.shared"]
        assert finding.severity is Severity.FAILURE
        assert "audio" not in finding.found
    assert OTHER in _findings(inventory)["group.shared"].found


def test_a_host_driver_is_reported_before_another_gpu():
    inventory = changed(_with("020000", Role.NIC, "i40e"), OTHER, iommu_group=GROUP)
    assert set(_findings(inventory)) == {"group.foreign"}


def test_a_companion_in_its_own_group_is_reported():
    findings = _findings(changed(FACTS, AUDIO, iommu_group=999))
    assert set(findings) == {"group.own", "group.companion_apart"}
    assert "group 999" in findings["group.companion_apart"].found


@pytest.mark.parametrize("full_config", [False, True])
def test_the_port_above_the_group_is_named(full_config):
    inventory = audit_machine(defects.no_acs(HGX, "0000:18:00.0"), full_config)
    finding = _findings(inventory, "0000:18:00.0")["group.foreign"]
    assert "they meet below 0000:16:00.0 PEX890xx PCIe Gen 5 Switch" in finding.fix
    assert "0000:19:00.0 (nic, mlx5_core)" in finding.found
