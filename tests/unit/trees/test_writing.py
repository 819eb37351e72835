# SPDX-License-Identifier: Apache-2.0
"""The written tree agrees with the model, and has the layout of Linux."""

import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings

from tests.trees import iommu_groups, scratch, write
from tests.trees.hardware import topology
from tests.unit.trees import strategies
from tests.unit.trees.strategies import MACHINES


def _device(root, address):
    return root / "sys/bus/pci/devices" / address


def test_every_link_leads_somewhere_inside_the_tree_and_is_relative(written):
    machine, root = written
    found = strategies.links(root)
    assert len(found) > len(machine.devices())
    for link in found:
        assert not os.path.isabs(os.readlink(link)), link
        assert os.path.realpath(link).startswith(os.path.realpath(root) + os.sep), link
        assert os.path.exists(link), link


def test_devices_are_nested_below_their_ports(written):
    machine, root = written
    assert set(os.listdir(root / "sys/bus/pci/devices")) == set(machine.devices())
    for location in machine.locations():
        real = Path(os.path.realpath(_device(root, location.device.address)))
        assert real == Path(os.path.realpath(root)) / location.path
        assert real.is_dir()
        above = location.parents[0].address if location.parents else location.bridge.name
        assert real.parent.name == above


def test_identity_class_and_numa_node_are_the_models(written):
    machine, root = written
    online = {cpu for node in machine.nodes for cpu in node.cpus}
    assert online == set(topology(machine))
    for location in machine.locations():
        device, path = location.device, _device(root, location.device.address)

        def number(name, path=path):
            return int((path / name).read_text(), 0)

        assert number("vendor") == device.vendor
        assert number("device") == device.device
        assert number("class") == device.class_code
        assert (number("subsystem_vendor"), number("subsystem_device")) == device.subsystem
        assert number("numa_node") == location.numa_node
        assert (path / "boot_vga").exists() == (device.class_code >> 8 == 0x0300)
        assert (path / "reset_method").exists() == bool(device.reset_methods)
        assert (path / "sriov_totalvfs").exists() == (device.sriov is not None)


def test_link_speeds_have_the_kernels_format(written):
    machine, root = written
    for device in machine.devices().values():
        path = _device(root, device.address) / "current_link_speed"
        assert path.exists() == (device.link is not None)
        if device.link is not None:
            text = path.read_text()
            assert text.endswith(" GT/s PCIe\n")
            assert float(text.split()[0]) == device.link.speed


def test_drivers_and_devices_point_at_each_other(written):
    machine, root = written
    for device in machine.devices().values():
        link = _device(root, device.address) / "driver"
        assert link.is_symlink() == (device.driver is not None)
        if device.driver is not None:
            assert os.readlink(link).rpartition("/")[2] == device.driver
            back = root / "sys/bus/pci/drivers" / device.driver / device.address
            assert os.path.samefile(back, _device(root, device.address))


def _assert_groups(machine, root):
    groups = iommu_groups(machine)
    folder = root / "sys/kernel/iommu_groups"
    members = {name: set(os.listdir(folder / name / "devices")) for name in os.listdir(folder)}
    assert members == {
        str(number): {address for address, of in groups.items() if of == number}
        for number in set(groups.values())
    }
    for address in machine.devices():
        link = _device(root, address) / "iommu_group"
        assert link.is_symlink() == (address in groups)
        if address in groups:
            assert os.path.realpath(link) == os.path.realpath(folder / str(groups[address]))


def test_groups_list_their_members_and_members_their_group(written):
    _assert_groups(*written)


def test_all_cpus_and_memory_belong_to_one_node(written):
    machine, root = written
    base = root / "sys/devices/system/node"
    total = 0
    seen: Counter = Counter()
    for node in machine.nodes:
        path = base / f"node{node.id}"
        seen.update(int(name[3:]) for name in os.listdir(path) if name[3:].isdigit())
        assert [int(word) for word in (path / "distance").read_text().split()] == list(
            node.distances
        )
        total += int((path / "meminfo").read_text().split("MemTotal:")[1].split()[0])
    assert set(seen.values()) == {1}
    assert f"MemTotal:       {total:8} kB" in (root / "proc/meminfo").read_text()
    for cpu in seen:
        path = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
        socket = int((path / "physical_package_id").read_text())
        assert cpu in machine.nodes[socket * len(machine.nodes) // machine.processor.sockets].cpus


def test_slots_have_the_address_without_the_function(written):
    machine, root = written
    slots = {device.slot for device in machine.devices().values() if device.slot}
    assert set(os.listdir(root / "sys/bus/pci/slots")) == slots
    for slot in slots:
        address = (root / "sys/bus/pci/slots" / slot / "address").read_text().strip()
        assert machine.devices()[f"{address}.0"].slot == slot


def test_a_second_machine_cannot_be_written_into_the_same_directory(tmp_path):
    write(strategies.small_hgx(), tmp_path)
    with pytest.raises(FileExistsError):
        write(strategies.small_hgx(), tmp_path)


def test_an_xgmi_hive_is_one_directory_that_all_its_gpus_share(tmp_path):
    machine = MACHINES["mi300x"]
    root = write(machine, tmp_path)
    gpus = machine.gpus()
    hives = {os.path.realpath(_device(root, gpu.address) / "xgmi_hive_info") for gpu in gpus}
    assert len(hives) == 1
    (hive,) = map(Path, hives)
    assert hive.parent.name == gpus[0].address
    assert (hive / "xgmi_hive_id").read_text() == f"{gpus[0].xgmi.hive_id}\n"
    ids = {(hive / f"node{n}" / "xgmi_device_id").read_text() for n in range(1, 9)}
    assert len(ids) == 8
    assert (_device(root, gpus[3].address) / "xgmi_num_hops").read_text().split().index("00") == 3


def test_without_amdgpu_there_is_neither_hive_nor_sensor(tmp_path):
    root = write(MACHINES["mi300x-vfio"], tmp_path)
    names = {name for _, folders, files in os.walk(root) for name in (*folders, *files)}
    assert not {name for name in names if name.startswith("xgmi")}
    assert "hwmon" not in names


@settings(max_examples=15, deadline=None)
@given(strategies.machines())
def test_any_machine_is_written_consistently(machine):
    with scratch.directory() as folder:
        root = write(machine, folder)
        assert all(os.path.exists(link) for link in strategies.links(root))
        _assert_groups(machine, root)
        for location in machine.locations():
            number = int((_device(root, location.device.address) / "numa_node").read_text())
            assert number == location.numa_node
