# SPDX-License-Identifier: Apache-2.0
"""Texts and display states for the page."""

import datetime
import enum
import re
from collections.abc import Iterable

from nova_gpu_passthrough.cloud.report.gpu_counts import GpuCounts
from nova_gpu_passthrough.cloud.report.snapshot import Snapshot
from nova_gpu_passthrough.cloud.view import device_counts
from nova_gpu_passthrough.cloud.view.model import CloudDevice, CloudHost, DeviceState, Server


class DisplayState(enum.Enum):
    """The state of a GPU on the page: `DeviceState`, and whether a free GPU is usable."""

    FREE = ("free", "free")
    STRANDED = ("stranded", "free, but stranded")
    UNAVAILABLE = ("unavailable", "free, but host out of service")
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

    @property
    def is_marked(self) -> bool:
        """Whether its symbol has its own sign, which a text would cover."""
        return self in (DisplayState.UNAVAILABLE, DisplayState.STUCK, DisplayState.MISSING)


_DISPLAY_STATES = {
    DeviceState.FREE: DisplayState.FREE,
    DeviceState.IN_USE: DisplayState.IN_USE,
    DeviceState.RESERVED: DisplayState.RESERVED,
    DeviceState.STUCK: DisplayState.STUCK,
    DeviceState.MISSING: DisplayState.MISSING,
}


def display_state(state: DeviceState) -> DisplayState:
    """Return how a device in that state is displayed, if it is usable when it is free."""
    return _DISPLAY_STATES[state]


def display_gpu(snapshot: Snapshot, host: CloudHost, gpu: CloudDevice) -> DisplayState:
    """Return how a GPU of a host is displayed."""
    if gpu.state is DeviceState.FREE:
        if not host.takes_servers:
            return DisplayState.UNAVAILABLE
        if snapshot.is_stranded(gpu):
            return DisplayState.STRANDED
    return _DISPLAY_STATES[gpu.state]


def count_gpus(counts: GpuCounts) -> list[str]:
    """Describe numbers of GPUs, such as ``8 GPUs``, ``3 free (2 usable)``, ``5 in use``."""
    if not counts.total:
        return []
    numbers = {
        "in use": counts.in_use,
        "reserved": counts.reserved,
        "stuck": counts.stuck,
        "missing": counts.missing,
    }
    states = [f"{number} {name}" for name, number in numbers.items() if number]
    free = [free_gpus(counts)] if counts.free else []
    return [quantity(counts.total, "GPU"), *free, *states]


def free_gpus(counts: GpuCounts) -> str:
    """Describe how many GPUs are free, such as ``3 free (2 usable)``."""
    usable = f" ({counts.usable} usable)" if counts.usable != counts.free else ""
    return f"{counts.free} free{usable}"


def free_units(gpu: CloudDevice) -> str:
    """Describe how many units of a device are free; empty for a device with one unit."""
    total = device_counts.unit_count(gpu)
    if total == 1:
        return ""
    return f"{device_counts.units_by_state(gpu)[DeviceState.FREE]} of {total} free"


def host_status(host: CloudHost) -> str:
    """Describe why a host takes no servers; empty if it takes servers."""
    if not host.known:
        return "absent: Nova has no compute node of that name"
    if not host.up:
        return "down"
    if not host.enabled:
        return f"disabled: {host.disabled_reason}" if host.disabled_reason else "disabled"
    if host.provider is None:
        return "unknown to Placement"
    return ""


def server_status(server: Server) -> str:
    """Describe the status of a server, with its task if it has one."""
    return f"{server.status} ({server.task_state})" if server.task_state else server.status


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
    return sorted(hosts, key=lambda host: natural_key(host.name))


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Return the key by which names are sorted, ``gpu2`` before ``gpu10``."""
    return [
        (0, int(part), "") if part.isdecimal() else (1, 0, part)
        for part in re.split(r"(\d+)", name)
        if part
    ]
