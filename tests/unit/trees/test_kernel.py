# SPDX-License-Identifier: Apache-2.0
"""The files of kernel and distribution, for each kind of server."""

import fnmatch

import pytest

from tests.trees.kernel import ALIASES
from tests.trees.pci import cpu_list


def _lines(path):
    return path.read_text().splitlines()


def _wanting(root, machine, address):
    """Return the modules that modules.alias lists for a device."""
    alias = (root / "sys/bus/pci/devices" / address / "modalias").read_text().strip()
    found = []
    for line in _lines(root / f"lib/modules/{machine.kernel}/modules.alias")[1:]:
        word, pattern, module = line.split()
        assert word == "alias"
        if fnmatch.fnmatchcase(alias, pattern):
            found.append(module)
    return found


def test_the_modules_for_a_gpu_match_its_modalias(written):
    machine, root = written
    for gpu in machine.gpus():
        expected = {"nvidia", "nouveau"} if gpu.vendor == 0x10DE else {"amdgpu"}
        expected &= set(machine.installed_modules)
        assert set(_wanting(root, machine, gpu.address)) == expected


def test_the_sound_driver_matches_audio_functions(written):
    machine, root = written
    for device in machine.devices().values():
        if device.class_code == 0x040300:
            assert _wanting(root, machine, device.address) == ["snd_hda_intel"]


def test_loaded_modules_are_in_proc_and_sys(written):
    machine, root = written
    assert [line.split()[0] for line in _lines(root / "proc/modules")] == list(machine.modules)
    for module in machine.modules:
        assert (root / "sys/module" / module).is_dir()
    unsafe = root / "sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts"
    assert unsafe.exists() == ("vfio_iommu_type1" in machine.modules)


def test_release_and_command_line_are_the_models(written):
    machine, root = written
    assert _lines(root / "proc/sys/kernel/osrelease") == [machine.kernel]
    assert machine.kernel in (root / "proc/version").read_text()
    (line,) = _lines(root / "proc/cmdline")
    assert line.startswith("BOOT_IMAGE=")
    assert line.endswith(machine.command_line)
    assert (root / f"boot/config-{machine.kernel}").exists()
    assert f"ID={machine.os.id}" in _lines(root / "etc/os-release")


def test_cpuinfo_has_a_stanza_per_cpu_and_address_sizes_on_x86(written):
    machine, root = written
    stanzas = (root / "proc/cpuinfo").read_text().strip().split("\n\n")
    assert len(stanzas) == sum(len(node.cpus) for node in machine.nodes)
    bits = f"address sizes\t: {machine.processor.physical_bits} bits physical"
    assert all((bits in stanza) == (machine.processor.vendor != "arm") for stanza in stanzas)


def test_pci_ids_names_every_gpu(written):
    machine, root = written
    lines = _lines(root / "usr/share/misc/pci.ids")
    for gpu in machine.gpus():
        vendor = next(n for n, line in enumerate(lines) if line.startswith(f"{gpu.vendor:04x}  "))
        below = lines[vendor + 1 :]
        own = below[: next((n for n, line in enumerate(below) if line[0] != "\t"), len(below))]
        assert any(line.startswith(f"\t{gpu.device:04x}  ") for line in own)


@pytest.mark.parametrize(
    ("cpus", "text"),
    [((), ""), ((3,), "3"), ((0, 1, 2, 8), "0-2,8"), ((9, 1, 0, 8), "0-1,8-9")],
)
def test_cpus_are_listed_in_ranges(cpus, text):
    assert cpu_list(cpus) == text


def test_every_alias_is_a_pattern_of_modules_alias():
    for patterns in ALIASES.values():
        assert all(pattern.partition(":")[0] in ("pci", "vfio_pci") for pattern in patterns)
