# SPDX-License-Identifier: Apache-2.0
"""Texts and display states for the page."""

import datetime
import enum
import re
from collections.abc import Callable, Iterable

from nova_gpu_passthrough.cloud.view import device_counts
from nova_gpu_passthrough.cloud.view.model import CloudDevice, CloudHost, DeviceState, Server


class DisplayState(enum.Enum):
    """The state of a GPU on the page: `DeviceState`, and whether a free GPU is stranded."""

    FREE = ("free", "free")
    STRANDED = ("stranded", "free, but stranded")
    IN_USE = ("in-use", "in use")
    RESERVED = ("reserved", "reserved")
    STUCK = ("stuck", "stuck")
    MISSING = ("missing", "missing")

    @property
    def symbol(self) -> str:
        """The id of its symbol in ``symbols.svg``."""
        return self.value[0]

    @property
    def label(self) -> str:
        """The text for readers."""
        return self.value[1]


_DISPLAY_STATES = {
    DeviceState.FREE: DisplayState.FREE,
    DeviceState.IN_USE: DisplayState.IN_USE,
    DeviceState.RESERVED: DisplayState.RESERVED,
    DeviceState.STUCK: DisplayState.STUCK,
    DeviceState.MISSING: DisplayState.MISSING,
}


def display_state(state: DeviceState, stranded: bool = False) -> DisplayState:
    """Return how a GPU in that state is displayed."""
    if stranded and state is DeviceState.FREE:
        return DisplayState.STRANDED
    return _DISPLAY_STATES[state]


def count_states(
    gpus: Iterable[CloudDevice], stranded_units: Callable[[CloudDevice], int]
) -> list[str]:
    """Describe the number of GPUs, altogether and by state, such as ``8 GPUs``, ``3 free``."""
    members = list(gpus)
    counts = device_counts.total_by_state(members)
    if not counts:
        return []
    stranded = sum(map(stranded_units, members))
    texts = [quantity(counts.total(), "GPU")]
    for state in DeviceState:
        if counts[state]:
            suffix = f" ({stranded} stranded)" if state is DeviceState.FREE and stranded else ""
            texts.append(f"{counts[state]} {state}{suffix}")
    return texts


def free_units(gpu: CloudDevice) -> str:
    """Describe how many units of a device are free; empty for a device with one unit."""
    total = device_counts.unit_count(gpu)
    if total == 1:
        return ""
    return f"{device_counts.units_by_state(gpu)[DeviceState.FREE]} of {total} free"


def host_status(host: CloudHost) -> str:
    """Describe why a host takes no servers; empty if it takes servers."""
    if not host.up:
        return "down"
    if not host.enabled:
        return f"disabled: {host.disabled_reason}" if host.disabled_reason else "disabled"
    return ""


def moment(text: str) -> str:
    """Format a time in ISO 8601, such as ``2026-03-01T12:30:00Z``, for readers."""
    return f"{datetime.datetime.fromisoformat(text):%d %B %Y, %H:%M} UTC".lstrip("0")


def age(moment: str, now: str) -> str:
    """Format how long ago a time is, such as ``41d`` or ``3h``; both are in ISO 8601."""
    passed = datetime.datetime.fromisoformat(now) - datetime.datetime.fromisoformat(moment)
    seconds = max(0, int(passed.total_seconds()))
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        # Two of the larger unit at least: 90m says more than 1h.
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def idleness(server: Server, now: str) -> str:
    """Describe a server that does not run, and for how long at least."""
    since = f", unchanged for {age(server.updated, now)}" if server.updated else ""
    return f"server {server.name} is {server.status}{since}"


def quantity(number: int, noun: str) -> str:
    """Format a number with a noun in singular or plural."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def gib(mib: int) -> str:
    """Format memory in GiB, with at most one decimal place."""
    value = mib / 1024
    return f"{value:.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def sort_hosts(hosts: Iterable[CloudHost]) -> list[CloudHost]:
    """Sort hosts by name, ``gpu2`` before ``gpu10``."""
    return sorted(hosts, key=lambda host: _natural_key(host.name))


def _natural_key(name: str) -> list[tuple[int, int, str]]:
    return [
        (0, int(part), "") if part.isdecimal() else (1, 0, part)
        for part in re.split(r"(\d+)", name)
        if part
    ]
