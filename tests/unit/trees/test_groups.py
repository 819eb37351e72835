# SPDX-License-Identifier: Apache-2.0
"""IOMMU groups are formed like in Linux."""

from hypothesis import given, settings

from tests.trees import defects, hgx_h100, iommu_groups, l40s
from tests.unit.trees import strategies


def _members(machine, address):
    groups = iommu_groups(machine)
    return {one for one, number in groups.items() if number == groups[address]}


def test_gpus_of_an_hgx_board_are_alone_and_its_nvswitches_together():
    machine = hgx_h100.machine(hgx_h100.H200)
    for gpu in machine.gpus():
        assert _members(machine, gpu.address) == {gpu.address}
    nvswitches = {f"0000:{bus:02x}:00.0" for bus in range(5, 9)}
    assert nvswitches < _members(machine, "0000:05:00.0")


def test_without_acs_a_gpu_shares_its_group_with_the_nic_of_its_switch():
    machine = defects.no_acs(hgx_h100.machine(), "0000:18:00.0")
    assert {"0000:18:00.0", "0000:19:00.0", "0000:15:01.0"} <= _members(machine, "0000:18:00.0")
    assert _members(machine, "0000:2a:00.0") == {"0000:2a:00.0"}


def test_functions_of_a_card_share_a_group_unless_they_have_acs():
    machine = l40s.machine()
    assert _members(machine, "0000:01:00.0") == {"0000:01:00.0", "0000:01:00.1"}
    assert _members(machine, "0000:e1:00.0") == {"0000:e1:00.0"}


def test_devices_behind_a_bridge_to_conventional_pci_are_in_its_group():
    machine = hgx_h100.machine()
    assert _members(machine, "0000:02:00.0") == {"0000:01:00.0", "0000:02:00.0"}


def test_virtual_functions_have_their_own_groups():
    machine = defects.virtual_functions(l40s.machine(), "0000:01:00.0", 4)
    assert _members(machine, "0000:01:00.4") == {"0000:01:00.4"}
    assert _members(machine, "0000:01:00.0") == {"0000:01:00.0", "0000:01:00.1"}


def test_without_an_iommu_there_are_no_groups():
    assert iommu_groups(defects.iommu_off(l40s.machine())) == {}


@settings(max_examples=40, deadline=None)
@given(strategies.machines())
def test_groups_are_numbered_without_gaps_and_contain_every_function(machine):
    groups = iommu_groups(machine)
    if machine.iommu is None:
        assert groups == {}
    else:
        assert set(groups) == set(machine.devices())
        assert set(groups.values()) == set(range(len(set(groups.values()))))
