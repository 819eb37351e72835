# SPDX-License-Identifier: Apache-2.0
"""Texts and display states of the page."""

import dataclasses

import pytest

from nova_gpu_passthrough.cloud.report import formatting
from nova_gpu_passthrough.cloud.report.formatting import DisplayState
from nova_gpu_passthrough.cloud.report.gpu_counts import GpuCounts
from nova_gpu_passthrough.cloud.view.model import DeviceState
from tests.unit.cloud.report import fleets


def test_every_state_has_a_display_state_with_its_own_symbol():
    displayed = {formatting.display_state(state) for state in DeviceState}
    assert displayed == set(DisplayState) - {DisplayState.STRANDED, DisplayState.UNAVAILABLE}
    assert len({state.symbol for state in DisplayState}) == len(DisplayState)


def test_only_a_free_gpu_is_stranded_or_unavailable():
    snapshot = fleets.four()
    first, _, third, _ = snapshot.view.hosts
    assert formatting.display_gpu(snapshot, first, first.gpus[3]) is DisplayState.STRANDED
    assert formatting.display_gpu(snapshot, first, first.gpus[0]) is DisplayState.IN_USE
    assert formatting.display_gpu(snapshot, third, third.gpus[1]) is DisplayState.UNAVAILABLE
    assert formatting.display_gpu(snapshot, third, third.gpus[0]) is DisplayState.IN_USE


def test_numbers_of_gpus():
    counts = GpuCounts(free=5, usable=4, stranded=1, in_use=8, reserved=1, missing=2)
    assert formatting.count_gpus(counts) == [
        "16 GPUs",
        "5 free (4 usable)",
        "8 in use",
        "1 reserved",
        "2 missing",
    ]
    assert formatting.count_gpus(GpuCounts(free=1, usable=1)) == ["1 GPU", "1 free"]
    assert formatting.count_gpus(GpuCounts()) == []
    assert formatting.free_gpus(GpuCounts(in_use=8)) == "0 free"


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        ("2026-03-01T12:29:01Z", "59s"),
        ("2026-03-01T12:28:01Z", "119s"),
        ("2026-03-01T12:28:00Z", "2m"),
        ("2026-03-01T10:30:01Z", "119m"),
        ("2026-03-01T10:30:00Z", "2h"),
        ("2026-02-27T12:30:01Z", "47h"),
        ("2026-02-27T12:30:00Z", "2d"),
        ("2025-03-01T12:30:00Z", "365d"),
        # Clocks may differ.
        ("2026-03-01T12:30:09Z", "0s"),
    ],
)
def test_ages_have_one_unit(moment, text):
    assert formatting.age(moment, fleets.TAKEN_AT) == text


def test_how_long_a_server_does_not_run():
    off = fleets.server(1, status="SHUTOFF")
    assert (
        formatting.idleness(off, fleets.TAKEN_AT) == "server train-1 is SHUTOFF, unchanged for 3d"
    )
    unknown = dataclasses.replace(off, updated="")
    assert formatting.idleness(unknown, fleets.TAKEN_AT) == "server train-1 is SHUTOFF"


def test_status_of_hosts():
    host = fleets.hgx("h")
    assert formatting.host_status(host) == ""
    assert formatting.host_status(dataclasses.replace(host, enabled=False)) == "disabled"
    why = dataclasses.replace(host, enabled=False, disabled_reason="new fans")
    assert formatting.host_status(why) == "disabled: new fans"
    assert formatting.host_status(dataclasses.replace(why, up=False)) == "down"
    assert formatting.host_status(dataclasses.replace(host, known=False)).startswith("absent: ")
    assert formatting.host_status(dataclasses.replace(host, provider=None)) == (
        "unknown to Placement"
    )


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
