# SPDX-License-Identifier: Apache-2.0
"""The page's words for states and numbers."""

import datetime
import enum
import re
from collections.abc import Callable, Iterable

from nova_gpu_passthrough.cloud.report import units
from nova_gpu_passthrough.cloud.view.model import Device, DeviceState, Host


class Look(enum.Enum):
    """How a GPU is drawn: the id of its symbol, and what it means."""

    FREE = ("free", "free")
    STRANDED = ("stranded", "free, but stranded")
    IN_USE = ("in-use", "in use")
    RESERVED = ("reserved", "reserved")
    STUCK = ("stuck", "stuck")
    MISSING = ("missing", "missing")

    @property
    def symbol(self) -> str:
        """The id of its drawing."""
        return self.value[0]

    @property
    def word(self) -> str:
        """What people read."""
        return self.value[1]


_LOOKS = {
    DeviceState.FREE: Look.FREE,
    DeviceState.IN_USE: Look.IN_USE,
    DeviceState.RESERVED: Look.RESERVED,
    DeviceState.STUCK: Look.STUCK,
    DeviceState.MISSING: Look.MISSING,
}


def look(state: DeviceState, stranded: bool = False) -> Look:
    """How a GPU in that state is drawn."""
    return Look.STRANDED if stranded and state is DeviceState.FREE else _LOOKS[state]


def states(gpus: Iterable[Device], stranded: Callable[[Device], int]) -> list[str]:
    """How many GPUs there are and in which states, such as ``8 GPUs``, ``3 free``."""
    members = list(gpus)
    found = units.total(members)
    if not found:
        return []
    lost = sum(map(stranded, members))
    parts = [count(found.total(), "GPU")]
    for state in DeviceState:
        if found[state]:
            of_them = f" ({lost} stranded)" if state is DeviceState.FREE and lost else ""
            parts.append(f"{found[state]} {state}{of_them}")
    return parts


def several(gpu: Device) -> str:
    """How many are free of a device that stands for several GPUs; empty for one GPU."""
    if units.with_unit(gpu) == 1:
        return ""
    return f"{units.by_state(gpu)[DeviceState.FREE]} of {units.with_unit(gpu)} free"


def status(host: Host) -> str:
    """What keeps a host from taking servers; empty if nothing does."""
    if not host.up:
        return "down"
    if not host.enabled:
        return f"disabled: {host.disabled_reason}" if host.disabled_reason else "disabled"
    return ""


def moment(text: str) -> str:
    """A time in ISO 8601, such as ``2026-03-01T12:30:00Z``, for people."""
    return f"{datetime.datetime.fromisoformat(text):%d %B %Y, %H:%M} UTC".lstrip("0")


def count(number: int, thing: str) -> str:
    """A number of things."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def gib(mib: int) -> str:
    """Memory in GiB, without digits that nobody needs."""
    found = mib / 1024
    return f"{found:.0f}" if found >= 10 or found == int(found) else f"{found:.1f}"


def by_name(hosts: Iterable[Host]) -> list[Host]:
    """Hosts by name, ``gpu2`` before ``gpu10``."""
    return sorted(hosts, key=lambda host: _natural(host.name))


def _natural(name: str) -> list[tuple[int, int, str]]:
    return [
        (0, int(part), "") if part.isdecimal() else (1, 0, part)
        for part in re.split(r"(\d+)", name)
        if part
    ]
