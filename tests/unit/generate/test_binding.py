# SPDX-License-Identifier: Apache-2.0
import dataclasses

from nova_gpu_passthrough.fleet.offers import choose
from nova_gpu_passthrough.fleet.settings import Settings
from nova_gpu_passthrough.generate import binding
from nova_gpu_passthrough.inventory.host import Kernel, ModuleState
from nova_gpu_passthrough.inventory.pci import Role
from tests.unit.generate import builders

CARD = ["0000:41:00.0", "0000:41:00.1"]


def decide(found, **settings):
    (offer,), _ = choose([found], Settings(**settings))
    return binding.decide(offer)


def with_builtin(found, *modules):
    kernel = Kernel("6.1", "", dict.fromkeys(modules, ModuleState.BUILTIN))
    return dataclasses.replace(found, kernel=kernel)


def test_by_ids_where_all_functions_of_them_are_passed_through():
    bound = decide(builders.l40s(count=2))
    assert bound.ids_text == "10de:22ba,10de:26b9"
    assert not bound.overrides
    assert bound.softdeps == ("nouveau", "nvidia", "nvidia_drm", "nvidiafb", "snd_hda_intel")


def test_by_address_where_a_card_with_the_same_ids_stays():
    bound = decide(builders.l40s(count=2), exclude=("0000:42:00.0",))
    assert list(bound.overrides) == CARD
    assert bound.ids == {}
    assert [device.address for device in bound.override_devices] == CARD


def test_other_ids_of_the_same_host_still_go_by_ids():
    """A second sound card of the GPU's make stays with the host; the GPU itself is alone."""
    found = builders.l40s(count=1)
    found = dataclasses.replace(
        found,
        devices=(*found.devices, builders.device("0000:99:00.1", Role.AUDIO, "10de:22ba")),
    )
    bound = decide(found)
    assert bound.ids_text == "10de:26b9"
    assert bound.overrides == {
        "0000:41:00.1": "0000:99:00.1 has the same ids and stays with the host"
    }


def test_by_address_where_the_kernel_has_the_driver_built_in():
    bound = decide(with_builtin(builders.l40s(count=1), "snd_hda_intel"))
    assert bound.overrides == {"0000:41:00.1": "snd_hda_intel is part of the kernel"}
    assert bound.ids_text == "10de:26b9"


def test_vfs_go_by_address():
    bound = decide(builders.with_vfs())
    assert set(bound.overrides) == {"0000:51:02.0", "0000:51:02.1"}


def test_vfio_pci_in_the_kernel_is_noticed():
    assert decide(with_builtin(builders.l40s(), "vfio_pci")).builtin_vfio
    assert not decide(builders.l40s()).builtin_vfio


def test_blacklisted_is_only_what_drives_nothing_else():
    assert decide(builders.l40s()).blacklist == ("nouveau", "nvidia", "nvidia_drm", "nvidiafb")
    assert decide(builders.l40s(count=2), exclude=("0000:42:00.0",)).blacklist == ()
    # The fabric manager needs nvidia for the NVSwitches.
    assert decide(builders.hgx()).blacklist == ("nouveau", "nvidiafb")


def test_a_display_of_the_same_make_keeps_its_driver():
    found = builders.inventory(
        devices=[
            builders.device("0000:00:02.0", Role.DISPLAY, "8086:4680"),
            builders.device("0000:41:00.0", ids="8086:56c0"),
        ],
        gpus=[builders.gpu("0000:41:00.0", "Flex-170")],
    )
    bound = decide(found)
    assert bound.softdeps == ("i915", "xe")
    assert bound.blacklist == ()


def test_drivers_that_the_audit_saw_are_added_to_the_usual_ones():
    found = builders.changed(
        builders.l40s(count=1), "0000:41:00.0", modules=("nvidia-current", "nouveau", "vfio_pci")
    )
    bound = decide(found)
    assert "nvidia_current" in bound.softdeps
    assert "nvidia_current" in bound.blacklist
    assert "vfio_pci" not in bound.softdeps


def test_a_driver_that_nothing_else_names_is_the_one_that_holds_it():
    found = builders.inventory(
        devices=[builders.device("0000:41:00.0", ids="1234:1111", driver="bochs-drm")],
        gpus=[builders.gpu("0000:41:00.0", "Bochs")],
    )
    assert decide(found).softdeps == ("bochs_drm",)
