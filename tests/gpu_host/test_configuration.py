# SPDX-License-Identifier: Apache-2.0
"""The configuration that nova-gpu generates in the server binds its GPUs at the next boot."""

import pytest

from tests.gpu_host import boots
from tests.gpu_host.server import IOMMU_ON
from tests.gpu_host.test_audit import GPUS, UNFIT
from tests.gpu_host.topology import SERVER

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

#: Fit GPUs except the card that the host keeps, and the companion.
PASSED = [name for name in GPUS if not UNFIT & set(SERVER[name].defects) and name != boots.KEPT]
PASSED.append("l40s-audio")
OTHERS = sorted(set(SERVER.endpoints) - set(PASSED))


def test_the_configuration_is_generated_without_an_error(plain):
    assert plain["generate"]["status"] == 0, plain["generate"]["error"]


def test_gpus_that_are_left_out_are_reported(plain):
    notes = plain["generate"]["error"].splitlines()
    for name in GPUS:
        about_gpu = [
            note for note in notes if note.startswith(f"gpu-host: {SERVER.address(name)} ")
        ]
        unfit = [note for note in about_gpu if "the audit found it unfit" in note]
        assert bool(unfit) == bool(UNFIT & set(SERVER[name].defects)), notes
        assert (name in PASSED) != bool(about_gpu), notes


def test_the_next_boot_has_the_generated_command_line(configured):
    line = configured["system"]["command_line"]
    assert all(option in line.split() for option in IOMMU_ON.split()), line


@pytest.mark.parametrize("name", PASSED)
def test_the_next_boot_binds_it_to_vfio_pci(configured, name):
    assert configured.device(name)["driver"] == "vfio-pci"


@pytest.mark.parametrize("name", OTHERS)
def test_the_next_boot_does_not_change_other_functions(plain, configured, name):
    assert configured.device(name)["driver"] == plain.device(name)["driver"]


def test_one_of_two_equal_cards_is_bound_by_its_address(configured):
    assert SERVER["a100-ready"].id == SERVER[boots.KEPT].id
    assert configured.device("a100-ready")["driver_override"] == "vfio-pci"
    assert configured.device("l40s")["driver_override"] in (None, "", "(null)")


def test_ids_are_bound_before_the_system_starts(configured):
    log = configured["system"]["kernel_log"]
    assert log.index("vfio_pci: add [10de:26b9") < log.index("systemd[1]: systemd ")


@pytest.mark.parametrize("name", PASSED)
def test_idle_gpus_may_not_enter_d3cold(configured, name):
    assert configured.device(name)["d3cold_allowed"] == "0"


def test_generating_again_changes_nothing(configured):
    assert configured["compare"]["status"] == 0, configured["compare"]["output"]


def test_a_guest_gets_the_whole_card_after_all_functions_are_bound(configured):
    guest = configured["guests"]["card"]
    assert guest["started"], guest["error"]
    assert set(guest["drivers_after"].values()) == {"vfio-pci"}
