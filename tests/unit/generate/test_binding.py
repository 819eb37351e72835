# SPDX-License-Identifier: Apache-2.0
import dataclasses

from nova_gpu_passthrough.fleet.offers import choose
from nova_gpu_passthrough.fleet.settings import Settings
from nova_gpu_passthrough.generate import binding
from nova_gpu_passthrough.inventory.host import Kernel, ModuleState
from nova_gpu_passthrough.inventory.pci import Role
from tests.unit.generate import builders

CARD = ["0000:41:00.0", "0000:41:00.1"]


def bind(found, **settings):
    (offer,), _ = choose([found], Settings(**settings))
    return binding.make(offer)


def with_builtin(found, *modules):
    kernel = Kernel("6.1", "", dict.fromkeys(modules, ModuleState.BUILTIN))
    return dataclasses.replace(found, kernel=kernel)


def test_functions_are_bound_by_ids_if_all_with_these_ids_are_passed_through():
    bound = bind(builders.l40s(count=2))
    assert bound.ids_text == "10de:22ba,10de:26b9"
    assert not bound.overrides
    assert bound.softdeps == ("nouveau", "nvidia", "nvidia_drm", "nvidiafb", "snd_hda_intel")


def test_functions_are_bound_by_address_if_a_card_with_these_ids_stays():
    bound = bind(builders.l40s(count=2), exclude=("0000:42:00.0",))
    assert list(bound.overrides) == CARD
    assert bound.ids == {}
    assert [device.address for device in bound.override_devices] == CARD


def test_other_ids_of_the_same_host_are_bound_by_ids():
    """The host keeps a sound card with the ids of the GPU's audio function."""
    found = builders.l40s(count=1)
    found = dataclasses.replace(
        found,
        devices=(*found.devices, builders.device("0000:99:00.1", Role.AUDIO, "10de:22ba")),
    )
    bound = bind(found)
    assert bound.ids_text == "10de:26b9"
    assert bound.overrides == {
        "0000:41:00.1": "0000:99:00.1 has the same ids and stays with the host"
    }


def test_functions_with_a_builtin_driver_are_bound_by_address():
    bound = bind(with_builtin(builders.l40s(count=1), "snd_hda_intel"))
    assert bound.overrides == {"0000:41:00.1": "snd_hda_intel is part of the kernel"}
    assert bound.ids_text == "10de:26b9"


def test_vfs_are_bound_by_address():
    bound = bind(builders.with_vfs())
    assert set(bound.overrides) == {"0000:51:02.0", "0000:51:02.1"}


def test_builtin_vfio_pci_is_recognized():
    assert bind(with_builtin(builders.l40s(), "vfio_pci")).builtin_vfio
    assert not bind(builders.l40s()).builtin_vfio


def test_only_drivers_without_other_functions_are_blacklisted():
    assert bind(builders.l40s()).blacklist == ("nouveau", "nvidia", "nvidia_drm", "nvidiafb")
    assert bind(builders.l40s(count=2), exclude=("0000:42:00.0",)).blacklist == ()
    # The fabric manager needs nvidia for the NVSwitches.
    assert bind(builders.hgx()).blacklist == ("nouveau", "nvidiafb")


def test_a_display_of_the_same_vendor_keeps_its_driver():
    found = builders.inventory(
        devices=[
            builders.device("0000:00:02.0", Role.DISPLAY, "8086:4680"),
            builders.device("0000:41:00.0", ids="8086:56c0"),
        ],
        gpus=[builders.gpu("0000:41:00.0", "Flex-170")],
    )
    bound = bind(found)
    assert bound.softdeps == ("i915", "xe")
    assert bound.blacklist == ()


def test_drivers_in_the_inventory_are_added_to_the_known_ones():
    found = builders.changed(
        builders.l40s(count=1), "0000:41:00.0", modules=("nvidia-current", "nouveau", "vfio_pci")
    )
    bound = bind(found)
    assert "nvidia_current" in bound.softdeps
    assert "nvidia_current" in bound.blacklist
    assert "vfio_pci" not in bound.softdeps


def test_the_current_driver_of_an_unknown_function_is_used():
    found = builders.inventory(
        devices=[builders.device("0000:41:00.0", ids="1234:1111", driver="bochs-drm")],
        gpus=[builders.gpu("0000:41:00.0", "Bochs")],
    )
    assert bind(found).softdeps == ("bochs_drm",)
