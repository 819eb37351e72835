# SPDX-License-Identifier: Apache-2.0
"""The page's words."""

import dataclasses

import pytest

from nova_gpu_passthrough.cloud.report.page import words
from nova_gpu_passthrough.cloud.report.page.words import Look
from nova_gpu_passthrough.cloud.view.model import DeviceState
from tests.unit.cloud.report import fleets


def test_every_state_has_a_look_of_its_own():
    looks = {words.look(state) for state in DeviceState}
    assert looks == set(Look) - {Look.STRANDED}
    assert len({look.symbol for look in Look}) == len(Look)


def test_only_what_is_free_is_stranded():
    assert words.look(DeviceState.FREE, stranded=True) is Look.STRANDED
    assert words.look(DeviceState.IN_USE, stranded=True) is Look.IN_USE


def test_states_of_gpus():
    snapshot = fleets.four()
    first, second, *_, last = snapshot.view.hosts
    assert words.states(first.gpus, snapshot.stranded) == [
        "8 GPUs",
        "1 free (1 stranded)",
        "7 in use",
    ]
    assert words.states(second.gpus, snapshot.stranded) == [
        "8 GPUs",
        "4 free",
        "1 in use",
        "1 reserved",
        "1 stuck",
        "1 missing",
    ]
    assert words.states(last.gpus, snapshot.stranded) == []


def test_status_of_hosts():
    host = fleets.hgx("h")
    assert words.status(host) == ""
    assert words.status(dataclasses.replace(host, enabled=False)) == "disabled"
    why = dataclasses.replace(host, enabled=False, disabled_reason="new fans")
    assert words.status(why) == "disabled: new fans"
    assert words.status(dataclasses.replace(why, up=False)) == "down"


def test_hosts_are_in_the_order_of_their_numbers():
    names = ["gpu10", "gpu9", "gpu1", "a", "7", "gpu1b"]
    found = words.by_name(fleets.host(name) for name in names)
    assert [host.name for host in found] == ["7", "a", "gpu1", "gpu1b", "gpu9", "gpu10"]


@pytest.mark.parametrize(
    ("mib", "text"), [(0, "0"), (512, "0.5"), (1024, "1"), (1536, "1.5"), (515000, "503")]
)
def test_memory_has_no_digits_that_nobody_needs(mib, text):
    assert words.gib(mib) == text


def test_a_moment_is_told_with_its_zone():
    assert words.moment("2026-03-01T02:30:00Z") == "1 March 2026, 02:30 UTC"


def test_one_is_no_plural():
    assert [words.count(number, "host") for number in (0, 1, 2)] == ["0 hosts", "1 host", "2 hosts"]
