# SPDX-License-Identifier: Apache-2.0
"""Free TCP ports on loopback."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Sequence

ADDRESS = "127.0.0.1"
#: Below what Linux gives to outgoing connections (net.ipv4.ip_local_port_range), which would
#: otherwise take a port while its service is being restarted.
_RANGE = range(20000, 32000)


def free(names: Sequence[str]) -> dict[str, int]:
    """A port for each name. All are bound at once, so they differ."""
    found: dict[str, int] = {}
    with contextlib.ExitStack() as bound:
        for port in random.sample(_RANGE, len(_RANGE)):
            if len(found) == len(names):
                break
            probe = bound.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                probe.bind((ADDRESS, port))
                found[names[len(found)]] = port
    return found


def listening(port: int) -> bool:
    """Whether somebody answers there."""
    try:
        socket.create_connection((ADDRESS, port), timeout=1).close()
    except OSError:
        return False
    return True
