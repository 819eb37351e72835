# SPDX-License-Identifier: Apache-2.0
"""Free TCP ports on loopback."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Sequence

ADDRESS = "127.0.0.1"
#: Ports below those of outgoing connections (net.ipv4.ip_local_port_range), which could
#: otherwise use a port while its service restarts.
_RANGE = range(20000, 32000)


def free(names: Sequence[str]) -> dict[str, int]:
    """Return a free port for each name; all are bound at the same time, so that they differ."""
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
    """Check whether a process listens on a port."""
    try:
        socket.create_connection((ADDRESS, port), timeout=1).close()
    except OSError:
        return False
    return True
