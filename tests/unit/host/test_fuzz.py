# SPDX-License-Identifier: Apache-2.0
"""Damaged trees give an inventory that can be written, drawn and read.

Facts in undamaged files do not change.
"""

import dataclasses
import errno
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from nova_gpu_passthrough.cli.drawing import draw
from nova_gpu_passthrough.host import root as root_module
from nova_gpu_passthrough.inventory import store
from tests.trees import building_blocks, defects, l40s, write
from tests.trees.device import Device, PortType
from tests.trees.hgx_h100 import gpu
from tests.trees.model import HostBridge, Machine, Processor
from tests.unit.audited import audit_machine, audited

GPU, OTHER, CARD = "0000:03:00.0", "0000:04:00.0", "0000:06:00.0"


def _machine():
    """Return a machine with a switch, two GPUs and a NIC, and a card with an audio function."""
    below = [
        ("0000:02:00.0", gpu(GPU, 0x2330, "vfio-pci")),
        ("0000:02:01.0", gpu(OTHER, 0x2330, "nvidia")),
        ("0000:02:02.0", building_blocks.connectx7("0000:05:00.0", "mlx5_0", "ens1")),
    ]
    switch = building_blocks.switch("0000:01:00.0", building_blocks.PEX890XX, below)
    card = l40s.card(6, "1", None, True, "snd_hda_intel")
    ports = (
        Device("0000:00:00.0", 0x8086, 0x09A2, 0x060000, kind=PortType.CONVENTIONAL),
        building_blocks.port("0000:00:01.0", (0x8086, 0x352A), [switch]),
        building_blocks.port("0000:00:02.0", (0x8086, 0x352A), card, slot_watts=75),
    )
    return Machine(
        name="small",
        processor=Processor("intel", "Xeon", 52, 57, 2, 1, 1),
        nodes=building_blocks.nodes(2, 1, 1024, 1),
        host_bridges=(HostBridge(0, 0, 0, ports),),
        iommu="dmar",
        iommu_table="DMAR",
        modules=("nvidia", "snd_hda_intel", *building_blocks.VFIO_MODULES),
        installed_modules=("nvidia", "nouveau", "snd_hda_intel", "vfio_pci"),
        names=building_blocks.NAMES,
    )


MACHINE = _machine()
NASTY = (
    b"",
    b"\n",
    b"-1",
    b"0x",
    b"nan",
    b"inf GT/s",
    b"9" * 5000,
    b"0x" + b"f" * 5000,
    b"0-999999999",
    b"\x1b[31m\x9b2J",
    b"\xff\xfe\x00\x80",
    b"MemTotal: " + b"9" * 5000 + b" kB",
    b"address sizes\t: 9999999999 bits physical",
    b"0x0 0x" + b"f" * 3000 + b" 0x200\n" * 20,
    b"[[[[((((",
    "\u2028\ufeff\U0001f5a5".encode(),
    "\u0663".encode(),
)


def _relative(machine, tmp):
    tree = write(machine, tmp / "list")
    paths = [
        os.path.relpath(os.path.join(folder, name), tree)
        for folder, folders, files in os.walk(tree)
        for name in (*folders, *files)
    ]
    shutil.rmtree(tree)
    return sorted(paths)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """All paths in the tree."""
    return _relative(MACHINE, tmp_path_factory.mktemp("paths"))


def _remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _damage(path, kind, content):
    """Replace a file or directory with something else."""
    if not os.path.lexists(path.parent) or not path.parent.is_dir():
        return
    if kind == "cut" and path.is_file():
        data = path.read_bytes()
        path.chmod(0o600)
        path.write_bytes(data[: len(data) // 2])
        return
    _remove(path)
    if kind == "content":
        path.write_bytes(content)
    elif kind == "directory":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "dangling":
        path.symlink_to("../nowhere/at/all")
    elif kind == "out":
        path.symlink_to("/")
    elif kind == "up":
        path.symlink_to("..")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(2**24)
    elif kind == "odd name":
        os.symlink(b"x/\xff\xfe\n", os.fsencode(path))


KINDS = ("cut", "content", "gone", "directory", "loop", "dangling", "out", "up", "pipe", "odd name")


def _usable(inventory, folder):
    """Check that an inventory can be written, read and drawn."""
    assert set(inventory.verdicts or ()) == {one.address for one in inventory.gpus}
    path = folder / "inventory.yaml"
    path.write_text(store.dump(inventory, "test"), encoding="utf-8")
    assert store.load(path) == inventory
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        Console(file=nowhere, width=200).print(draw(inventory))
    for finding in inventory.findings:
        assert "".join(finding.found.split()).isprintable() or "\u2028" in finding.found


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damaged_tree_gives_an_inventory(folder, paths, data):
    here = folder / str(len(os.listdir(folder)))
    tree = write(MACHINE, here, full_config=True)
    damages = data.draw(
        st.lists(
            st.tuples(
                st.sampled_from(paths),
                st.sampled_from(KINDS),
                st.sampled_from(NASTY) | st.binary(max_size=80),
            ),
            min_size=1,
            max_size=12,
        )
    )
    for path, kind, content in damages:
        if path != "sys":
            _damage(tree / path, kind, content)
    _usable(audited(tree), here)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_to_one_gpu_does_not_change_others(folder, paths, data):
    here = folder / str(len(os.listdir(folder)))
    tree = write(MACHINE, here)
    before = audit_machine(MACHINE)
    inside = [path for path in paths if f"/{GPU}/" in path]
    for path in data.draw(st.lists(st.sampled_from(inside), min_size=1, max_size=10)):
        kind = data.draw(st.sampled_from(KINDS))
        _damage(tree / path, kind, data.draw(st.sampled_from(NASTY)))
    after = audited(tree)
    _usable(after, here)
    for address in (OTHER, CARD):
        assert after.by_address[address] == before.by_address[address]
    assert after.numa_nodes == before.numa_nodes
    assert after.iommu == before.iommu
    assert after.kernel == before.kernel
    if GPU not in after.by_address:
        assert [finding.found for finding in after.findings if GPU in finding.found]


@pytest.mark.parametrize("kind", [*KINDS, "huge"])
@pytest.mark.parametrize(
    "name", ["class", "numa_node", "resource", "iommu_group", "driver", "config", "reset_method"]
)
def test_every_kind_of_damage_to_every_important_file(folder, kind, name):
    tree = write(MACHINE, folder / "tree")
    before = audit_machine(MACHINE).by_address
    _damage(defects.device_directory(tree, GPU) / name, kind, b"\xff\x00 garbage")
    inventory = audited(tree)
    _usable(inventory, folder)
    assert inventory.by_address[OTHER] == before[OTHER]
    if GPU in inventory.by_address:
        # No fact is invented.
        device, old = inventory.by_address[GPU], before[GPU]
        for field in dataclasses.fields(device):
            value = getattr(device, field.name)
            if field.name not in ("bars", "driver", "reset_methods", "numa_node", "iommu_group"):
                assert value == getattr(old, field.name), field.name


@pytest.mark.parametrize("name", ["/sys/bus/pci/devices", "/sys/devices", "/proc", "/lib", "/etc"])
@pytest.mark.parametrize("kind", ["gone", "content", "loop", "directory"])
def test_whole_folders_may_be_missing(folder, name, kind):
    tree = write(MACHINE, folder / "tree")
    _damage(tree / name[1:], kind, b"")
    _usable(audited(tree), folder)


class _Vanishing:
    """The module os of a machine on which a device disappears after some calls."""

    def __init__(self, address, calls, number):
        self._address, self._left, self._number = address, calls, number

    def __getattr__(self, name):
        return getattr(os, name)

    def _call(self, function, path, *arguments):
        if self._address in os.fspath(path):
            self._left -= 1
            if self._left < 0:
                raise OSError(self._number, os.strerror(self._number), path)
        return function(path, *arguments)

    def open(self, path, *arguments):
        return self._call(os.open, path, *arguments)

    def listdir(self, path):
        return self._call(os.listdir, path)

    def readlink(self, path):
        return self._call(os.readlink, path)


@pytest.mark.parametrize("number", [errno.ENODEV, errno.ENOENT, errno.EIO, errno.EACCES])
def test_a_device_that_disappears_during_the_audit(tree, folder, monkeypatch, number):
    root = tree(MACHINE)
    before = audited(root).by_address
    complete = 0
    for calls in range(60):
        monkeypatch.setattr(root_module, "os", _Vanishing(f"/{GPU}/", calls, number))
        inventory = audited(root)
        for address in (OTHER, CARD):
            assert inventory.by_address[address] == before[address]
        complete += inventory.by_address.get(GPU) == before[GPU]
        if GPU not in inventory.by_address:
            assert [finding.found for finding in inventory.findings if GPU in finding.found]
        if number in (errno.EIO, errno.EACCES) and inventory.by_address.get(GPU) != before[GPU]:
            assert [finding for finding in inventory.findings if finding.id == "read.unusable"]
    _usable(inventory, folder)
    # In the last runs all reads succeed, in the first none.
    assert 0 < complete < 60


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE, errno.ENOMEM])
def test_a_machine_on_which_every_read_fails(tree, folder, monkeypatch, number):
    root = tree(MACHINE)
    monkeypatch.setattr(root_module, "os", _Vanishing("/", 0, number))
    inventory = audited(root)
    _usable(inventory, folder)
    assert inventory.gpus == ()
    assert "read.unusable" in {finding.id for finding in inventory.findings}


def test_the_tree_has_enough_paths_to_damage(paths):
    assert len(paths) > 300
    assert {Path(path).name for path in paths} > {"class", "resource", "meminfo", "modules.alias"}
