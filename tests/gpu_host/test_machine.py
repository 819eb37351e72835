# SPDX-License-Identifier: Apache-2.0
"""Kernel and libvirt of the server see the hardware that topology.py describes."""

import xml.etree.ElementTree as ElementTree

import pytest

from tests.gpu_host import boots
from tests.gpu_host.topology import SERVER

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

NAMES = sorted(SERVER.endpoints)
GPUS = [name for name in NAMES if SERVER[name].kind == "gpu"]


@pytest.mark.parametrize("name", NAMES)
def test_a_function_has_its_ids_class_and_numa_node(plain, name):
    function, facts = SERVER[name], plain.device(name)
    assert facts["vendor"] == f"0x{function.vendor}"
    assert facts["device"] == f"0x{function.device}"
    assert facts["class"] == f"0x{function.pci_class}00"
    assert int(facts["numa_node"]) == SERVER.endpoints[name].numa_node


@pytest.mark.parametrize("name", NAMES)
def test_an_iommu_group_holds_the_intended_functions(plain, name):
    endpoints = {placed.address for placed in SERVER.endpoints.values()}
    assert plain.group(name) & endpoints == SERVER.mates(name) | {SERVER.address(name)}


@pytest.mark.parametrize("name", NAMES)
def test_the_expected_drivers_hold_a_function(plain, name):
    assert plain.device(name)["driver"] == SERVER[name].driver
    assert set(SERVER[name].modules) <= set(plain["system"]["modules"])


@pytest.mark.parametrize("name", GPUS)
def test_a_gpu_has_its_reset_methods_link_and_bars(plain, name):
    function, facts = SERVER[name], plain.device(name)
    assert tuple((facts["reset_method"] or "").split()) == function.resets
    assert {bar.number: bar.size for bar in function.bars} == {
        number: size for number, size in enumerate(facts["bars"]) if size
    }
    if function.link and function.capable:
        assert facts["current_link_speed"] == function.link.speed
        assert facts["current_link_width"] == str(function.link.width)
        assert facts["max_link_speed"] == function.capable.speed
        assert facts["max_link_width"] == str(function.capable.width)


def test_nouveau_releases_unknown_cards(plain):
    log = plain["system"]["kernel_log"]
    for name in GPUS:
        if "nouveau" in SERVER[name].modules:
            assert f"nouveau {SERVER.address(name)}: unknown chipset" in log


def test_the_boot_display_is_recognised(plain):
    assert plain.device("boot-vga")["boot_vga"] == "1"


def test_the_numa_nodes_have_their_distances(plain):
    far = str(SERVER.distance)
    assert plain["system"]["nodes"] == {"0": ["10", far], "1": [far, "10"]}


def test_virtual_functions_have_their_own_groups(plain):
    assert plain.device("h100")["sriov_totalvfs"] == str(SERVER["h100"].vfs)
    functions = plain["virtual_functions"]
    assert len(functions) == boots.VIRTUAL["count"]
    groups = {function["iommu_group"] for function in functions.values()}
    assert len(groups) == len(functions)
    assert plain.device("h100")["iommu_group"] not in groups
    for function in functions.values():
        assert function["device"] == f"0x{SERVER['h100'].device}"
        assert function["numa_node"] == "0"


@pytest.mark.parametrize("name", NAMES)
def test_libvirt_agrees_with_the_kernel(plain, name):
    placed, facts = SERVER.endpoints[name], plain.device(name)
    node = "pci_" + placed.address.replace(":", "_").replace(".", "_")
    capability = ElementTree.fromstring(plain["nodedev"][node]).find("capability[@type='pci']")
    assert capability.find("vendor").get("id") == facts["vendor"]
    assert capability.find("product").get("id") == facts["device"]
    assert capability.find("iommuGroup").get("number") == facts["iommu_group"]
    assert {_address(each) for each in capability.findall("iommuGroup/address")} == plain.group(
        name
    )
    numa = capability.find("numa")
    assert (-1 if numa is None else int(numa.get("node"))) == placed.numa_node


def test_a_guest_gets_a_card_without_defects(plain):
    guest = plain["guests"]["no_defects"]
    assert guest["started"], guest["error"]
    assert f"/dev/vfio/{plain.device('a100-ready')['iommu_group']}" in guest["vfio"]
    assert set(guest["drivers"].values()) == {"vfio-pci"}
    # libvirt releases it, and no driver binds it.
    assert set(guest["drivers_after"].values()) == {None}


@pytest.mark.parametrize(("guest", "name"), [("companion", "l40s"), ("foreign", "t4")])
def test_a_guest_does_not_start_while_a_host_driver_holds_a_group_member(plain, guest, name):
    guest_facts = plain["guests"][guest]
    assert not guest_facts["started"]
    assert f"group {plain.device(name)['iommu_group']} is not viable" in guest_facts["error"]


def test_two_guests_cannot_share_a_group(plain):
    guest = plain["guests"]["shared"]
    assert not guest["started"]
    assert f"PCI device {SERVER.address('l4-a')} is in use" in guest["error"]


def test_a_guest_starts_with_a_card_that_cannot_be_reset(plain):
    """Neither kernel nor libvirt reject it: the defect appears when the guest ends."""
    assert plain["guests"]["unresettable"]["started"]


def test_a_guest_gets_a_virtual_function(plain):
    guest = plain["guests"]["virtual"]
    assert guest["started"], guest["error"]
    group = plain["virtual_functions"][boots.VIRTUAL_ADDRESS]["iommu_group"]
    assert f"/dev/vfio/{group}" in guest["vfio"]


def test_the_next_boot_loads_the_modules_in_modules_load(plain, configured):
    assert "vhost_net" not in plain["system"]["modules"]
    assert "vhost_net" in configured["system"]["modules"]


def test_without_an_iommu_there_are_no_groups(without_iommu):
    assert without_iommu["system"]["iommus"] == []
    assert without_iommu.device("a100-ready")["iommu_group"] is None


def test_with_the_iommu_off_there_are_no_groups(iommu_off):
    assert iommu_off["system"]["iommus"] == []
    assert iommu_off.device("a100-ready")["iommu_group"] is None


def _address(element):
    domain, bus, slot, function = (
        int(element.get(part), 16) for part in ("domain", "bus", "slot", "function")
    )
    return f"{domain:04x}:{bus:02x}:{slot:02x}.{function}"
