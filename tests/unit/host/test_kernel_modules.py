# SPDX-License-Identifier: Apache-2.0
"""Modules of the running kernel, from the files that exist."""

import pytest

from nova_gpu_passthrough.host.kernel_modules import WATCHED, KernelModules
from nova_gpu_passthrough.host.root import Root
from nova_gpu_passthrough.inventory.host import ModuleState

RELEASE = "6.8.0-60-generic"
H100 = "pci:v000010DEd00002330sv000010DEsd000016C1bc03sc02i00"


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "sys/module").mkdir(parents=True)
    (tmp_path / "proc").mkdir()
    (tmp_path / f"lib/modules/{RELEASE}").mkdir(parents=True)
    return tmp_path


def _write(tree, **files):
    for name, text in files.items():
        (tree / f"lib/modules/{RELEASE}/modules.{name}").write_text(text)


def _modules(tree, release=RELEASE):
    return KernelModules(Root(tree), release)


def test_states(tree):
    (tree / "proc/modules").write_text("nouveau 3 0 - Live 0x0\nvfio_pci 1 0 - Live 0x0\n")
    _write(
        tree,
        builtin="kernel/drivers/vfio/vfio_iommu_type1.ko\n",
        dep="kernel/drivers/gpu/drm/amd/amdgpu/amdgpu.ko.zst: kernel/x.ko.zst\n"
        "kernel/sound/pci/hda/snd-hda-intel.ko: kernel/y.ko\n"
        "updates/dkms/nvidia.ko.xz:\n",
    )
    states = _modules(tree).states()
    assert states.pop("nouveau") is ModuleState.LOADED
    assert states.pop("vfio_pci") is ModuleState.LOADED
    assert states.pop("vfio_iommu_type1") is ModuleState.BUILTIN
    for name in ("amdgpu", "snd_hda_intel", "nvidia"):
        assert states.pop(name) is ModuleState.AVAILABLE
    assert set(states.values()) == {ModuleState.MISSING}
    assert len(states) == len(WATCHED) - 6


def test_no_module_is_missing_without_module_lists(tree):
    assert _modules(tree).states() == {}
    assert _modules(tree, None).states() == {}
    _write(tree, builtin="kernel/drivers/vfio/pci/vfio-pci.ko\n")
    assert _modules(tree).states() == {"vfio_pci": ModuleState.BUILTIN}


def test_sysfs_gives_modules_without_a_list(tree):
    (tree / "sys/module/nouveau").mkdir()
    assert _modules(tree, None).states() == {"nouveau": ModuleState.LOADED}


def test_modules_that_match_a_device(tree):
    _write(
        tree,
        alias="# Aliases extracted from modules themselves.\n"
        "alias pci:v000010DEd*sv*sd*bc03sc02i00* nvidia\n"
        "alias pci:v000010DEd*sv*sd*bc03sc00i00* nvidia-drm\n"
        "alias pci:v000010DEd00002330sv*sd*bc*sc*i* some-driver\n"
        "alias pci:v*d*sv*sd*bc03sc*i* any\n"
        "alias pci:v00001002d*sv*sd*bc03sc*i* amdgpu\n"
        "alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\n"
        "alias usb:v10DEp* other\n"
        "alias\nalias pci:v000010DEd* one two\n",
    )
    assert _modules(tree).matching(H100) == ("any", "nvidia", "some_driver")


def test_aliases_are_read_once(tree):
    _write(tree, alias="alias pci:v000010DEd*sv*sd*bc03sc02i00* nvidia\n")
    modules = _modules(tree)
    assert modules.matching(H100) == ("nvidia",)
    _write(tree, alias="")
    assert modules.matching(H100) == ("nvidia",)
    assert modules.matching(H100.replace("2330", "2331")) == ("nvidia",)


@pytest.mark.parametrize("alias", ["", "pci:", "garbage", "*", "[", "pci:v000010DE["])
def test_an_invalid_modalias_matches_nothing(tree, alias):
    _write(tree, alias="alias pci:v000010DEd*sv*sd*bc03sc02i00* nvidia\nalias pci:v[ x\n")
    assert _modules(tree).matching(alias) == ()


@pytest.mark.parametrize("release", ["../../..", "6.9", "", "a\0b"])
def test_another_release_has_no_modules(tree, release):
    _write(tree, alias="alias pci:v000010DEd*sv*sd*bc03sc02i00* nvidia\n", dep="x.ko:\n")
    modules = _modules(tree, release)
    assert modules.matching(H100) == ()
    assert modules.states() == {}
