# SPDX-License-Identifier: Apache-2.0
"""Files for kernel, modprobe, initramfs and udev."""

import dataclasses
import shutil
import subprocess

import pytest

from nova_gpu_passthrough.fleet.offers import choose
from nova_gpu_passthrough.fleet.settings import Settings
from nova_gpu_passthrough.generate import host_files, initramfs
from nova_gpu_passthrough.inventory.host import (
    Cpu,
    Distribution,
    Iommu,
    IommuKind,
    Kernel,
    Machine,
    ModuleState,
)
from tests.unit.generate import builders

MODPROBE = "etc/modprobe.d/gpu-passthrough.conf"
GRUB = "etc/default/grub.d/90-gpu-passthrough.cfg"
UDEV = "etc/udev/rules.d/90-gpu-passthrough.rules"
STEPS = "etc/gpu-passthrough/steps.txt"
ROCKY = Machine(os_id="rocky", os_like=("rhel", "centos", "fedora"), os_version="9.6")
EXCLUDE = ("0000:42:00.0",)


def make(inventory, **changes):
    settings = Settings(**changes)
    (offer,), _ = choose([inventory], settings)
    files, notes = host_files.make(offer, settings)
    return {file.path: file for file in files}, [note.text for note in notes]


def lines(text):
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_modprobe_names_ids_and_order():
    files, notes = make(builders.l40s(count=2))
    assert lines(files[MODPROBE].text) == [
        "options vfio-pci ids=10de:22ba,10de:26b9",
        "softdep nouveau pre: vfio-pci",
        "softdep nvidia pre: vfio-pci",
        "softdep nvidia_drm pre: vfio-pci",
        "softdep nvidiafb pre: vfio-pci",
        "softdep snd_hda_intel pre: vfio-pci",
        "blacklist nouveau",
        "blacklist nvidia",
        "blacklist nvidia_drm",
        "blacklist nvidiafb",
    ]
    assert notes == []


def test_the_kernel_command_line_has_ids_only_if_vfio_pci_is_built_in():
    found = builders.l40s(count=2, cpu=Cpu("intel", None, 46))
    files, _ = make(found)
    assert lines(files[GRUB].text) == [
        'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX intel_iommu=on iommu=pt"'
    ]
    kernel = Kernel("6.1", "", {"vfio_pci": ModuleState.BUILTIN})
    files, _ = make(dataclasses.replace(found, kernel=kernel))
    assert " vfio-pci.ids=10de:22ba,10de:26b9" in files[GRUB].text
    assert "options vfio-pci" not in files[MODPROBE].text


@pytest.mark.parametrize(
    "vendor, words",
    [
        ("amd", "iommu=pt"),
        ("arm", "iommu.passthrough=1"),
        (None, "intel_iommu=on iommu=pt"),
    ],
)
def test_the_kernel_command_line_by_processor(vendor, words):
    files, _ = make(builders.l40s(cpu=Cpu(vendor), iommu=Iommu()))
    assert lines(files[GRUB].text) == [f'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX {words}"']


@pytest.mark.parametrize(
    "iommu, words",
    [
        (Iommu(firmware_table="DMAR"), "intel_iommu=on iommu=pt"),
        (Iommu(IommuKind.AMD), "iommu=pt"),
        (Iommu(IommuKind.SMMU, "IORT", 9), "iommu.passthrough=1"),
    ],
)
def test_the_kernel_command_line_depends_on_the_iommu_before_the_processor(iommu, words):
    files, _ = make(builders.l40s(cpu=Cpu("amd"), iommu=iommu))
    assert lines(files[GRUB].text) == [f'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX {words}"']


def test_huge_pages_are_allocated_at_boot():
    files, _ = make(builders.l40s(), hugepages=True)
    assert "default_hugepagesz=1G hugepagesz=1G hugepages=" in files[GRUB].text


def test_debian_has_a_hook_and_a_script_for_addresses():
    files, _ = make(builders.l40s(count=2))
    assert initramfs.HOOK_PATH in files
    assert initramfs.SCRIPT_PATH not in files
    files, notes = make(builders.l40s(count=2), exclude=EXCLUDE)
    assert files[initramfs.HOOK_PATH].text.startswith("#!/bin/sh\n")
    assert files[initramfs.SCRIPT_PATH].text.startswith("#!/bin/sh\n")
    assert any("bound by address" in note for note in notes)
    assert "update-initramfs -u -k all" in files[STEPS].text


@pytest.mark.parametrize(
    "machine, settings",
    [
        (ROCKY, {}),
        (Machine(os_id="debian"), {"distribution": Distribution.REDHAT}),
    ],
)
def test_red_hat_has_dracut_and_grubby(machine, settings):
    files, _ = make(builders.l40s(count=2, machine=machine), exclude=EXCLUDE, **settings)
    assert GRUB not in files
    assert lines(files[initramfs.DRACUT_PATH].text) == [
        'force_drivers+=" vfio_pci vfio_iommu_type1 "',
        f'install_items+=" /{MODPROBE} "',
        'add_dracutmodules+=" gpu-passthrough "',
    ]
    assert initramfs.DRACUT_SCRIPT_PATH in files
    line = 'grubby --update-kernel=ALL --args="intel_iommu=on iommu=pt"'
    assert line in files[STEPS].text
    assert "dracut --force --regenerate-all" in files[STEPS].text


@pytest.mark.parametrize("os_id", ["sles", "opensuse-leap", "opensuse-tumbleweed"])
def test_suse_has_dracut_and_its_own_grub_file(os_id):
    files, _ = make(builders.l40s(machine=Machine(os_id=os_id)))
    assert initramfs.DRACUT_PATH in files
    assert initramfs.DRACUT_SCRIPT_PATH not in files
    assert "grub2-mkconfig -o /boot/grub2/grub.cfg" in files[STEPS].text


@pytest.mark.parametrize("version, dracut", [("24.04", False), ("25.10", True), ("26.04", True)])
def test_ubuntu_changed_to_dracut(version, dracut):
    machine = Machine(os_id="ubuntu", os_like=("debian",), os_version=version)
    files, _ = make(builders.l40s(machine=machine))
    assert (initramfs.DRACUT_PATH in files) is dracut
    assert (initramfs.HOOK_PATH in files) is not dracut
    assert GRUB in files


def test_an_unknown_distribution_gets_common_files_and_is_reported():
    files, notes = make(builders.l40s(machine=Machine(os_id="plan9")))
    assert set(files) == {MODPROBE, "etc/modules-load.d/gpu-passthrough.conf", UDEV, STEPS}
    assert any("plan9" in note and "--distribution" in note for note in notes)


def test_udev_rules_match_address_and_ids():
    files, _ = make(builders.l40s(count=2), exclude=EXCLUDE)
    match = (
        'ACTION=="add", SUBSYSTEM=="pci", KERNEL=="0000:41:00.0", '
        'ATTR{vendor}=="0x10de", ATTR{device}=="0x26b9", '
    )
    rules = lines(files[UDEV].text)
    assert match + 'TEST=="d3cold_allowed", ATTR{d3cold_allowed}="0"' in rules
    assert match + 'ATTR{driver_override}="vfio-pci"' in rules
    assert len(rules) == 4


def test_vfs_have_no_rule_for_d3cold():
    files, _ = make(builders.with_vfs())
    assert all("driver_override" in rule for rule in lines(files[UDEV].text))


class Sysfs:
    """A directory that replaces /sys and /dev in a script."""

    def __init__(self, root):
        self.root = root
        for name in ("bus/pci/devices", "bus/pci/drivers/vfio-pci", "bus/pci/drivers/nouveau"):
            (root / name).mkdir(parents=True)

    def add(self, address, ids, driver=None):
        folder = self.root / "bus/pci/devices" / address
        folder.mkdir()
        vendor, product = ids.split(":")
        (folder / "vendor").write_text(f"0x{vendor}\n")
        (folder / "device").write_text(f"0x{product}\n")
        (folder / "driver_override").write_text("(null)\n")
        if driver:
            (folder / "driver").symlink_to(self.root / "bus/pci/drivers" / driver)
            (self.root / "bus/pci/drivers" / driver / address).mkdir()

    def read(self, name):
        path = self.root / name
        return path.read_text().strip() if path.exists() else None

    def override(self, address):
        return self.read(f"bus/pci/devices/{address}/driver_override")

    def run(self, shell, text, *arguments):
        script = self.root / "script"
        text = text.replace("/sys/", f"{self.root}/").replace("/dev/kmsg", f"{self.root}/kmsg")
        script.write_text(f"modprobe() {{ echo $@ > {self.root}/modprobe; }}\n{text}")
        found = subprocess.run(
            [*shell, str(script), *arguments], capture_output=True, text=True, check=True
        )
        assert (found.stdout, found.stderr) == ("", "")


@pytest.fixture(params=["dash", "busybox sh", "bash"])
def shell(request):
    words = request.param.split()
    if not shutil.which(words[0]):
        pytest.skip(f"{words[0]} is not installed")
    return words


@pytest.mark.parametrize("path", [initramfs.SCRIPT_PATH, initramfs.DRACUT_SCRIPT_PATH])
def test_the_script_binds_by_address_and_does_not_change_others(tmp_path, shell, path):
    machine = Machine(os_id="debian") if path == initramfs.SCRIPT_PATH else ROCKY
    files, _ = make(builders.l40s(count=4, machine=machine), exclude=EXCLUDE)
    sysfs = Sysfs(tmp_path)
    sysfs.add("0000:41:00.0", "10de:26b9", "nouveau")
    sysfs.add("0000:41:00.1", "10de:22ba")
    sysfs.add("0000:42:00.0", "10de:26b9", "nouveau")
    sysfs.add("0000:43:00.0", "10de:26b9", "vfio-pci")
    # A disk has got this address since the audit.
    sysfs.add("0000:44:00.0", "144d:a80a", "nouveau")
    sysfs.run(shell, files[path].text)
    assert sysfs.override("0000:41:00.0") == "vfio-pci"
    assert sysfs.override("0000:41:00.1") == "vfio-pci"
    assert sysfs.override("0000:43:00.0") == "vfio-pci"
    assert sysfs.override("0000:42:00.0") == "(null)"
    assert sysfs.override("0000:44:00.0") == "(null)"
    assert sysfs.read("bus/pci/drivers/nouveau/unbind") == "0000:41:00.0"
    assert sysfs.read("bus/pci/drivers/vfio-pci/unbind") is None
    assert sysfs.read("bus/pci/drivers_probe") == "0000:41:00.1"
    assert sysfs.read("modprobe") == "vfio-pci"
    assert sysfs.read("kmsg").startswith("gpu-passthrough: 0000:44:00.0 is 0x144d:0xa80a")


@pytest.mark.parametrize("path", [initramfs.SCRIPT_PATH, initramfs.HOOK_PATH])
def test_scripts_report_their_prerequisites_to_initramfs_tools(tmp_path, shell, path):
    files, _ = make(builders.l40s(count=2), exclude=EXCLUDE)
    sysfs = Sysfs(tmp_path)
    sysfs.add("0000:41:00.0", "10de:26b9")
    sysfs.run(shell, files[path].text, "prereqs")
    assert sysfs.override("0000:41:00.0") == "(null)"
