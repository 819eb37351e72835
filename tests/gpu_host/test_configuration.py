# SPDX-License-Identifier: Apache-2.0
"""What nova-gpu generates inside the server binds its GPUs after the next boot."""

import pytest

from tests.gpu_host import boots
from tests.gpu_host.server import IOMMU_ON
from tests.gpu_host.test_audit import GPUS, UNFIT
from tests.gpu_host.topology import SERVER

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

#: What the audit found fit, but for the card that stays with the host, and the companion.
PASSED = [name for name in GPUS if not UNFIT & set(SERVER[name].defects) and name != boots.KEPT]
PASSED.append("l40s-audio")
OTHERS = sorted(set(SERVER.endpoints) - set(PASSED))


def test_it_is_generated_without_an_error(plain):
    assert plain["generate"]["status"] == 0, plain["generate"]["error"]


def test_what_is_left_out_is_told(plain):
    notes = plain["generate"]["error"].splitlines()
    for name in GPUS:
        told = [note for note in notes if note.startswith(f"gpu-host: {SERVER.address(name)} ")]
        unfit = [note for note in told if "the audit found it unfit" in note]
        assert bool(unfit) == bool(UNFIT & set(SERVER[name].defects)), notes
        assert (name in PASSED) != bool(told), notes


def test_the_next_boot_has_the_generated_command_line(configured):
    line = configured["system"]["command_line"]
    assert all(option in line.split() for option in IOMMU_ON.split()), line


@pytest.mark.parametrize("name", PASSED)
def test_the_next_boot_gives_it_to_vfio_pci(configured, name):
    assert configured.device(name)["driver"] == "vfio-pci"


@pytest.mark.parametrize("name", OTHERS)
def test_the_next_boot_leaves_everything_else_as_it_was(plain, configured, name):
    assert configured.device(name)["driver"] == plain.device(name)["driver"]


def test_of_two_equal_cards_one_is_bound_by_its_address(configured):
    assert SERVER["a100-ready"].id == SERVER[boots.KEPT].id
    assert configured.device("a100-ready")["driver_override"] == "vfio-pci"
    assert configured.device("l40s")["driver_override"] in (None, "", "(null)")


def test_it_binds_by_ids_before_the_system_starts(configured):
    log = configured["system"]["kernel_log"]
    assert log.index("vfio_pci: add [10de:26b9") < log.index("systemd[1]: systemd ")


@pytest.mark.parametrize("name", PASSED)
def test_idle_gpus_keep_their_power(configured, name):
    assert configured.device(name)["d3cold_allowed"] == "0"


def test_generating_again_changes_nothing(configured):
    assert configured["compare"]["status"] == 0, configured["compare"]["output"]


def test_a_guest_gets_the_whole_card_once_all_of_it_is_bound(configured):
    guest = configured["guests"]["card"]
    assert guest["started"], guest["error"]
    assert set(guest["drivers_after"].values()) == {"vfio-pci"}
