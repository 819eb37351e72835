# SPDX-License-Identifier: Apache-2.0
"""Every defect changes only the files in which an audit looks for it."""

import os
import struct

import pytest

from tests.trees import defects, l40s, mi300x, write
from tests.trees.device import Device
from tests.unit.trees.strategies import small_hgx

GPU = "0000:18:00.0"


@pytest.fixture
def read(tmp_path):
    """Write a machine and read one of its files; without a path, from a device's directory."""

    def write_and_read(machine, path, address=None):
        root = tmp_path / "tree"
        if not root.exists():
            write(machine, root)
        if address is not None:
            path = f"sys/bus/pci/devices/{address}/{path}"
        return (root / path).read_text().strip()

    write_and_read.root = tmp_path / "tree"
    return write_and_read


def _contents(root):
    found = {}
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, root)
            if os.path.islink(path):
                found[relative] = os.readlink(path)
            elif os.path.isfile(path):
                with open(path, "rb") as file:
                    found[relative] = file.read()
    return found


def _differences(before, after, tmp_path):
    one, two = (
        _contents(write(machine, tmp_path / name))
        for machine, name in ((before, "before"), (after, "after"))
    )
    return {path for path in one.keys() | two.keys() if one.get(path) != two.get(path)}


def test_an_iommu_that_the_kernel_does_not_use_has_its_table(read):
    machine = defects.iommu_off(small_hgx(), "quiet")
    assert read(machine, "proc/cmdline").endswith(" quiet")
    assert os.listdir(read.root / "sys/class/iommu") == []
    assert os.listdir(read.root / "sys/kernel/iommu_groups") == []
    assert (read.root / "sys/firmware/acpi/tables/DMAR").exists()


def test_an_iommu_disabled_in_firmware_has_no_table(tmp_path):
    root = write(defects.iommu_disabled_in_firmware(small_hgx()), tmp_path / "tree")
    assert os.listdir(root / "sys/firmware/acpi/tables") == ["FACP"]


@pytest.mark.parametrize(("make", "unit"), [(small_hgx, "dmar0"), (mi300x.machine, "ivhd0")])
def test_an_iommu_in_use_is_a_class_device_with_its_devices(tmp_path, make, unit):
    machine = make()
    root = write(machine, tmp_path / "tree")
    devices = os.listdir(root / "sys/class/iommu" / unit / "devices")
    assert {gpu.address for gpu in machine.gpus()} < set(devices)


def test_interrupt_remapping_is_in_table_interrupts_and_registers(read):
    machine = defects.no_interrupt_remapping(small_hgx())
    assert "IR-" not in read(machine, "proc/interrupts")
    table = (read.root / "sys/firmware/acpi/tables/DMAR").read_bytes()
    assert table[37] & 1 == 0
    assert sum(table) & 0xFF == 0
    assert struct.unpack_from("<I", table, 4)[0] == len(table)
    assert not int(read(machine, "sys/class/iommu/dmar0/intel-iommu/ecap"), 16) >> 3 & 1


def test_a_degraded_link_changes_both_ends_only(tmp_path):
    before = small_hgx()
    after = defects.degraded(before, GPU, 8.0, 8)
    changed = _differences(before, after, tmp_path)
    assert {os.path.basename(path) for path in changed} == {
        "current_link_speed",
        "current_link_width",
    }
    assert {path.split("/")[-2] for path in changed} == {GPU, "0000:17:00.0"}


def test_a_slower_slot_lowers_the_maximum_of_the_port_only(read):
    machine = defects.slower_slot(small_hgx(), GPU, 16.0, 8)
    assert read(machine, "max_link_speed", "0000:17:00.0") == "16.0 GT/s PCIe"
    assert read(machine, "max_link_width", GPU) == "16"
    assert read(machine, "current_link_width", GPU) == "8"


def test_without_a_numa_node_all_cpus_are_local(read):
    machine = defects.no_numa_node(small_hgx(), GPU)
    assert read(machine, "numa_node", GPU) == "-1"
    assert read(machine, "local_cpulist", GPU) == "0-7"
    assert read(machine, "numa_node", "0000:2a:00.0") == "0"


def test_firmware_without_any_numa_node(read):
    machine = defects.no_numa_node(small_hgx())
    assert {read(machine, "numa_node", address) for address in machine.devices()} == {"-1"}


@pytest.mark.parametrize("driver", ["nouveau", "nvidia", None])
def test_a_driver_holds_all_gpus(tmp_path, driver):
    machine = defects.bound(l40s.machine(), driver)
    root = write(machine, tmp_path / "tree")
    for gpu in machine.gpus():
        link = root / "sys/bus/pci/devices" / gpu.address / "driver"
        assert link.is_symlink() == (driver is not None)
    if driver:
        assert f"{driver} " in (root / "proc/modules").read_text()
        assert (root / "sys/module" / driver).is_dir()


def test_an_audio_function_can_be_held_alone(read):
    machine = defects.bound(l40s.machine(), "snd_hda_intel", "0000:01:00.1")
    assert "DRIVER=snd_hda_intel" in read(machine, "uevent", "0000:01:00.1")
    assert "DRIVER=vfio-pci" in read(machine, "uevent", "0000:01:00.0")
    assert "snd_hda_intel " in read(machine, "proc/modules")


def test_modules_of_vfio_can_be_absent(read):
    machine = defects.without_modules(small_hgx())
    assert "vfio" not in read(machine, "proc/modules")
    assert not (read.root / "sys/module/vfio_pci").exists()


def test_without_a_reset_method_the_file_is_missing(tmp_path):
    before = small_hgx()
    changed = _differences(before, defects.no_reset(before, GPU), tmp_path)
    assert {os.path.basename(path) for path in changed} == {"reset", "reset_method"}
    assert all(f"/{GPU}/" in path for path in changed)


def test_a_gpu_can_be_the_boot_console(read):
    machine = defects.boot_vga(l40s.machine(), "0000:01:00.0")
    assert read(machine, "boot_vga", "0000:01:00.0") == "1"
    assert read(machine, "boot_vga", "0000:e4:00.0") == "0"


def test_virtual_functions_and_their_physical_function_point_at_each_other(tmp_path):
    machine = defects.virtual_functions(small_hgx(), GPU, 12)
    root = write(machine, tmp_path / "tree")
    physical = root / "sys/bus/pci/devices" / GPU
    assert (physical / "sriov_numvfs").read_text() == "12\n"
    found = sorted(name for name in os.listdir(physical) if name.startswith("virtfn"))
    assert len(found) == 12
    addresses = {os.readlink(physical / name) for name in found}
    assert addresses == {f"../0000:18:{n >> 3:02x}.{n & 7}" for n in range(2, 14)}
    for name in found:
        assert os.path.samefile(physical / name / "physfn", physical)


def test_too_many_virtual_functions_are_rejected():
    with pytest.raises(ValueError, match="has not 17"):
        defects.virtual_functions(small_hgx(), GPU, 17)


def test_fewer_address_bits(read):
    machine = defects.physical_bits(small_hgx(), 46)
    assert "46 bits physical" in read(machine, "proc/cpuinfo")


def test_lockdown_enables_secure_boot(read):
    machine = defects.lockdown(small_hgx(), "confidentiality")
    text = read(machine, "sys/kernel/security/lockdown")
    assert text == "none integrity [confidentiality]"
    (variable,) = (read.root / "sys/firmware/efi/efivars").iterdir()
    assert variable.read_bytes() == b"\x06\x00\x00\x00\x01"


def test_a_gpu_in_d3cold(read):
    machine = defects.in_d3cold(small_hgx(), GPU)
    assert read(machine, "power_state", GPU) == "D3cold"
    assert read(machine, "power/control", GPU) == "auto"
    assert read(machine, "power/runtime_status", GPU) == "suspended"


def test_small_bars(read):
    machine = defects.small_bars(small_hgx(), GPU)
    start, end, _ = (
        int(word, 16) for word in read(machine, "resource", GPU).splitlines()[2].split()
    )
    assert end - start + 1 == 256 << 20
    assert int(read(machine, "resource2_resize", GPU), 16) >> 17 & 1


def test_a_driver_override(read):
    machine = defects.overridden(small_hgx(), GPU, "vfio-pci")
    assert read(machine, "driver_override", GPU) == "vfio-pci"
    assert read(machine, "driver_override", "0000:2a:00.0") == "(null)"


def test_huge_pages_of_one_node(read):
    machine = defects.hugepages(small_hgx(), 1, 1048576, 900, 880)
    base = "sys/devices/system/node/node{}/hugepages/hugepages-1048576kB/{}"
    assert read(machine, base.format(1, "nr_hugepages")) == "900"
    assert read(machine, base.format(1, "free_hugepages")) == "880"
    assert read(machine, base.format(0, "nr_hugepages")) == "0"


def test_devices_can_be_missing_or_added():
    machine = defects.removed(small_hgx(), GPU)
    assert GPU not in machine.devices()
    assert len(machine.gpus()) == 1
    peer = Device("0000:19:00.1", 0x15B3, 0x1021, 0x020700)
    assert "0000:19:00.1" in defects.added(machine, "0000:17:01.0", peer).devices()


def test_changing_an_unknown_function_is_rejected():
    with pytest.raises(KeyError, match="no physical PCI function 0000:ee:00.0"):
        small_hgx().alter("0000:ee:00.0", driver=None)


def test_a_vanished_device_leaves_dangling_links(tmp_path):
    root = write(small_hgx(), tmp_path / "tree")
    defects.vanished(root, GPU)
    link = root / "sys/bus/pci/devices" / GPU
    assert link.is_symlink()
    assert not link.exists()


def test_a_dead_device_reads_as_ones(tmp_path):
    root = write(small_hgx(), tmp_path / "tree")
    defects.dead(root, GPU)
    directory = root / "sys/bus/pci/devices" / GPU
    assert set((directory / "config").read_bytes()) == {0xFF}
    assert (directory / "current_link_speed").read_text() == "Unknown\n"


@pytest.mark.parametrize(
    "spoil", [defects.unreadable, defects.looping, defects.directory_instead, defects.missing]
)
def test_damaged_files_cannot_be_read(tmp_path, spoil):
    root = write(small_hgx(), tmp_path / "tree")
    path = f"sys/bus/pci/devices/{GPU}/class"
    spoil(root, path)
    with pytest.raises(OSError):
        (root / path).read_text()


def test_garbled_and_truncated_files(tmp_path):
    root = write(small_hgx(), tmp_path / "tree")
    path = f"sys/bus/pci/devices/{GPU}/resource"
    defects.truncated(root, path, 20)
    assert len((root / path).read_bytes()) == 20
    defects.garbled(root, path)
    with pytest.raises(UnicodeDecodeError):
        (root / path).read_text("utf-8")
