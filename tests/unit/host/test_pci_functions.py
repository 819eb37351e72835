# SPDX-License-Identifier: Apache-2.0
"""Reading the files of a PCI function: formats of older and newer kernels, and garbage."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nova_gpu_passthrough.catalog.pci_ids import PciIds
from nova_gpu_passthrough.host.kernel_modules import KernelModules
from nova_gpu_passthrough.host.pci_functions import PciFunctionReader
from nova_gpu_passthrough.host.root import Root
from nova_gpu_passthrough.inventory.pci import Bar, Role
from tests.trees import write
from tests.unit.audited import L40S

ADDRESS = "0000:01:00.0"
NEIGHBOUR = "0000:21:00.0"


@pytest.fixture
def host(folder):
    """Write a server; return its root and the directory of a GPU."""
    root = write(L40S, folder / "tree")
    return root, (root / "sys/bus/pci/devices" / ADDRESS).resolve()


def _read(root):
    opened = Root(root)
    reader = PciFunctionReader(opened, KernelModules(opened, None), PciIds(()), {})
    devices = {device.address: device for device in reader.read_all()}
    return devices, {finding.source: finding.found for finding in opened.findings()}


def _gpu(root):
    return _read(root)[0][ADDRESS]


@pytest.mark.parametrize(
    ("text", "speed"),
    [
        ("16.0 GT/s PCIe\n", 16),
        ("8 GT/s\n", 8),
        ("2.5 GT/s\n", 2.5),
        ("64.0 GT/s PCIe\n", 64),
        ("Unknown speed\n", None),
        ("Unknown\n", None),
    ],
)
def test_speeds_of_older_and_newer_kernels(host, text, speed):
    root, directory = host
    (directory / "current_link_speed").write_text(text)
    devices, notes = _read(root)
    assert devices[ADDRESS].link.speed_gts == speed
    assert not notes


@pytest.mark.parametrize("text", ["", "fast", "nan", "inf GT/s", "-8 GT/s", "0 GT/s", "1e9"])
def test_an_invalid_speed_leaves_a_note(host, text):
    root, directory = host
    (directory / "current_link_speed").write_text(text)
    devices, notes = _read(root)
    assert devices[ADDRESS].link.speed_gts is None
    assert devices[ADDRESS].link.width == 16
    assert [note for note in notes.values() if "expected a speed in GT/s" in note]


@pytest.mark.parametrize(("text", "width"), [("8", 8), ("0", None), ("255", None), ("63", 63)])
def test_widths(host, text, width):
    root, directory = host
    (directory / "current_link_width").write_text(text)
    assert _gpu(root).link.width == width


def test_a_link_of_unknown_speed_and_width(host):
    root, directory = host
    for end in ("current", "max"):
        (directory / f"{end}_link_speed").write_text("Unknown\n")
        (directory / f"{end}_link_width").write_text("0\n")
    assert _gpu(root).link is None


@pytest.mark.parametrize(
    ("line", "bar"),
    [
        ("0x0000200000000000 0x0000200fffffffff 0x000000000014220c", (64 << 30, True, True, True)),
        ("0x00000000e0000000 0x00000000e0ffffff 0x0000000000040200", (1 << 24, False, False, True)),
        ("0x0000000000000000 0x0000000fffffffff 0x000000000014220c", (64 << 30, True, True, False)),
        ("0x0000000000001000 0x0000000fffffffff 0x000000002014220c", None),
        ("0x000000000000e000 0x000000000000e07f 0x0000000000040101", None),
        ("0x0000000000000000 0x0000000000000000 0x0000000000000000", None),
    ],
)
def test_bars(host, line, bar):
    root, directory = host
    (directory / "resource").write_text(f"{line}\n")
    bars = _gpu(root).bars
    if "20142" in line:
        assert [one.assigned for one in bars] == [False]
    else:
        assert bars == ((Bar(0, *bar),) if bar else ())


@pytest.mark.parametrize(
    "line", ["garbage", "0x0 0x1", "0x0 0x1 0x2 0x3", "x y z", "0x0 0x" + "f" * 9000 + " 0x200"]
)
def test_bars_before_a_garbled_line_are_kept(host, line):
    root, directory = host
    good = "0x0000200000000000 0x0000200fffffffff 0x000000000014220c"
    (directory / "resource").write_text(f"{good}\n{line}\n")
    devices, notes = _read(root)
    assert [bar.size for bar in devices[ADDRESS].bars] == [64 << 30]
    assert "expected start, end and flags" in notes[str(directory / "resource")[len(str(root)) :]]


def test_the_rom_and_bridge_windows_are_no_bars(host):
    root, directory = host
    line = "0x00000000e0000000 0x00000000e0ffffff 0x0000000000040200"
    (directory / "resource").write_text(f"{line}\n" * 17)
    assert [bar.index for bar in _gpu(root).bars] == [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12]


@pytest.mark.parametrize(
    ("files", "methods"),
    [
        ({"reset_method": "flr bus\n", "reset": ""}, ("flr", "bus")),
        # The operator has disabled all methods.
        ({"reset_method": "\n", "reset": ""}, ()),
        # Before 5.15: a method exists, but is not reported.
        ({"reset": ""}, None),
        ({}, ()),
    ],
)
def test_reset_methods_of_older_and_newer_kernels(host, files, methods):
    root, directory = host
    for name in ("reset", "reset_method"):
        (directory / name).unlink()
    for name, text in files.items():
        (directory / name).write_text(text)
    assert _gpu(root).reset_methods == methods


def test_a_kernel_that_does_not_report_reset_methods(host):
    root, directory = host
    for name in ("reset", "reset_method", "power_state"):
        (directory / name).unlink()
    assert _gpu(root).reset_methods is None


@pytest.mark.parametrize(
    ("files", "watts"),
    [
        ({"power1_average": "125000000", "power1_cap": "700000000"}, (125, 700)),
        ({"power1_input": "125500000"}, (125.5, None)),
        ({"power1_cap": "300000000"}, (None, 300)),
        ({"temp1_input": "40000"}, (None, None)),
        ({"power1_average": "N/A"}, (None, None)),
    ],
)
def test_power_from_hwmon(host, files, watts):
    root, directory = host
    (directory / "hwmon/hwmon3").mkdir(parents=True)
    for name, text in files.items():
        (directory / "hwmon/hwmon3" / name).write_text(f"{text}\n")
    device = _gpu(root)
    assert (device.power_watts, device.power_cap_watts) == watts


@pytest.mark.parametrize(("text", "override"), [("(null)\n", None), ("\n", None), ("x\n", "x")])
def test_driver_override(host, text, override):
    root, directory = host
    (directory / "driver_override").write_text(text)
    assert _gpu(root).driver_override == override


@pytest.mark.parametrize("group", ["x", "-1", "12a", ""])
def test_a_group_that_is_no_number(host, group):
    root, directory = host
    (directory / "iommu_group").unlink()
    (directory / "iommu_group").symlink_to(f"../groups/{group}")
    assert _gpu(root).iommu_group is None


def test_an_invalid_physical_function_is_ignored(host):
    root, directory = host
    (directory / "physfn").symlink_to("../somewhere")
    assert _gpu(root).physical_function is None


@pytest.mark.parametrize("name", ["class", "vendor", "device"])
@pytest.mark.parametrize("text", ["", "0x", "garbage", "-1", "0x1000000", None])
def test_a_function_without_ids_is_reported_and_left_out(host, name, text):
    root, directory = host
    if text is None:
        (directory / name).unlink()
    else:
        (directory / name).write_text(text)
    devices, notes = _read(root)
    assert ADDRESS not in devices
    assert NEIGHBOUR in devices
    assert "no readable class, vendor or device" in notes[f"/sys/bus/pci/devices/{ADDRESS}"]


def test_names_that_are_no_addresses_are_ignored(host):
    root, _ = host
    for name in ("0000:01:00", "0000:01:00.8", "x", "0000:0G:00.0"):
        (root / "sys/bus/pci/devices" / name).mkdir()
    devices, notes = _read(root)
    assert set(devices) == set(L40S.devices())
    assert not notes


def test_domains_beyond_16_bits(host):
    root, directory = host
    (root / "sys/bus/pci/devices/10000:01:00.0").symlink_to(directory)
    devices, _ = _read(root)
    assert devices["10000:01:00.0"].slot == "10000:01:00"
    assert devices["10000:01:00.0"].function == 0


def test_only_gpus_and_companions_are_read_in_full(host):
    root, _ = host
    devices, _ = _read(root)
    for device in devices.values():
        if device.role not in (Role.GPU, Role.AUDIO):
            assert device.bars == ()
            assert device.reset_methods is None


@given(st.text("0123456789abcdefx \n-", max_size=60))
def test_any_text_in_resource_is_read(tmp_path_factory, text):
    root = tmp_path_factory.mktemp("tree", numbered=True)
    directory = root / "sys/bus/pci/devices" / ADDRESS
    directory.mkdir(parents=True)
    for name, value in (("class", "0x030200"), ("vendor", "0x10de"), ("device", "0x26b9")):
        (directory / name).write_text(value)
    (directory / "resource").write_text(text)
    for bar in _gpu(root).bars:
        assert 0 < bar.size <= 2**64
