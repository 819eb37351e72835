# SPDX-License-Identifier: Apache-2.0
"""Texts and display states of the page."""

import dataclasses

import pytest

from nova_gpu_passthrough.cloud.report import formatting
from nova_gpu_passthrough.cloud.report.formatting import DisplayState
from nova_gpu_passthrough.cloud.view.model import DeviceState
from tests.unit.cloud.report import fleets


def test_every_state_has_a_display_state_with_its_own_symbol():
    displayed = {formatting.display_state(state) for state in DeviceState}
    assert displayed == set(DisplayState) - {DisplayState.STRANDED}
    assert len({state.symbol for state in DisplayState}) == len(DisplayState)


def test_only_a_free_gpu_is_stranded():
    assert formatting.display_state(DeviceState.FREE, stranded=True) is DisplayState.STRANDED
    assert formatting.display_state(DeviceState.IN_USE, stranded=True) is DisplayState.IN_USE


def test_states_of_gpus():
    snapshot = fleets.four()
    first, second, *_, last = snapshot.view.hosts
    assert formatting.count_states(first.gpus, snapshot.stranded_units) == [
        "8 GPUs",
        "1 free (1 stranded)",
        "7 in use",
    ]
    assert formatting.count_states(second.gpus, snapshot.stranded_units) == [
        "8 GPUs",
        "4 free",
        "1 in use",
        "1 reserved",
        "1 stuck",
        "1 missing",
    ]
    assert formatting.count_states(last.gpus, snapshot.stranded_units) == []


def test_status_of_hosts():
    host = fleets.hgx("h")
    assert formatting.host_status(host) == ""
    assert formatting.host_status(dataclasses.replace(host, enabled=False)) == "disabled"
    why = dataclasses.replace(host, enabled=False, disabled_reason="new fans")
    assert formatting.host_status(why) == "disabled: new fans"
    assert formatting.host_status(dataclasses.replace(why, up=False)) == "down"


def test_hosts_are_sorted_by_the_numbers_in_their_names():
    names = ["gpu10", "gpu9", "gpu1", "a", "7", "gpu1b"]
    found = formatting.sort_hosts(fleets.host(name) for name in names)
    assert [host.name for host in found] == ["7", "a", "gpu1", "gpu1b", "gpu9", "gpu10"]


@pytest.mark.parametrize(
    ("mib", "text"), [(0, "0"), (512, "0.5"), (1024, "1"), (1536, "1.5"), (515000, "503")]
)
def test_memory_has_at_most_one_decimal_place(mib, text):
    assert formatting.gib(mib) == text


def test_a_time_is_shown_with_its_zone():
    assert formatting.moment("2026-03-01T02:30:00Z") == "1 March 2026, 02:30 UTC"


def test_only_one_is_singular():
    texts = [formatting.quantity(number, "host") for number in (0, 1, 2)]
    assert texts == ["0 hosts", "1 host", "2 hosts"]
