# SPDX-License-Identifier: Apache-2.0
"""Reading machines that hwloc recorded, from a directory that the environment names."""

import os
import tarfile
from pathlib import Path

import pytest

from nova_gpu_passthrough.host import audit, hwloc
from nova_gpu_passthrough.inventory import store
from nova_gpu_passthrough.inventory.pci import Role
from tests.unit.audited import audited, read

VARIABLE = "NOVA_GPU_RECORDED"
_FOLDER = os.environ.get(VARIABLE)

pytestmark = pytest.mark.skipif(
    not _FOLDER, reason=f"{VARIABLE} names no directory with hwloc's recorded topologies"
)

#: Recording; PCI functions, NUMA nodes and their CPUs, NICs.
TREES = {
    "32em64t-2n8c+dax+nvme+mic+dimms.tar.bz2": (137, ["0-7", "8-15"], 3),
    "32intel64-2p8co2t+8ve.tar.bz2": (28, ["0-7,16-23", "8-15,24-31"], 4),
}


def _recording(name):
    path = Path(_FOLDER, name)
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    return path


@pytest.fixture
def unpacked(folder):
    """Unpack a recorded /sys and return its root."""

    def unpack(name):
        with tarfile.open(_recording(name)) as archive:
            archive.extractall(folder, filter="data")
        (root,) = (path for path in folder.iterdir() if (path / "sys").is_dir())
        return root

    return unpack


@pytest.mark.parametrize("name", TREES)
def test_a_recorded_sys_is_read_whole(unpacked, name):
    functions, cpus, nics = TREES[name]
    root = unpacked(name)
    facts = read(root)
    assert len(facts.devices) == functions
    assert len(list((root / "sys/bus/pci/devices").iterdir())) == functions
    assert [node.cpus for node in facts.numa_nodes] == cpus
    assert all(node.memory_mib > 8192 and node.cores for node in facts.numa_nodes)
    assert sum(device.role is Role.NIC for device in facts.devices) == nics
    assert facts.cpu.vendor == "intel"
    # The bridges of a function are those in the path of its folder.
    for device in facts.devices:
        path = (root / "sys/bus/pci/devices" / device.address).resolve()
        assert path.parts[-len(device.bridges) - 1 : -1] == device.bridges


@pytest.mark.parametrize("name", TREES)
def test_a_recorded_sys_is_audited(unpacked, folder, name):
    inventory = audited(unpacked(name))
    assert not [finding for finding in inventory.findings if finding.id == "read.unusable"]
    assert "gpu.none" in {finding.id for finding in inventory.findings}
    path = folder / "inventory.yaml"
    path.write_text(store.dump(inventory, "test"))
    assert store.load(path) == inventory


@pytest.mark.parametrize(("name", "gpus"), [("nvidiaDGX2.xml", 16), ("24em64t-2n6c2t-pci.xml", 3)])
def test_a_recorded_topology_is_audited(tmp_path, name, gpus):
    facts = hwloc.read(_recording(name), "2026-11-24T06:00:00Z")
    assert len(facts.gpus) == gpus
    inventory = audit.judge(facts, facts.findings)
    # Without drivers, groups and reset methods there is no verdict.
    assert inventory.verdicts is None
    assert not [finding for finding in inventory.findings if finding.id.startswith("iommu.")]
    path = tmp_path / "inventory.yaml"
    path.write_text(store.dump(inventory, "test"))
    assert store.load(path) == inventory
