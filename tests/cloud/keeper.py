# SPDX-License-Identifier: Apache-2.0
"""A small process that outlives the one that started it, and cleans up after it.

``python keeper.py DIRECTORY``: reads lines ``+PID`` and ``-PID`` from its input, which name leaders
of process groups that began and ended. When its input ends, for whatever reason (even SIGKILL), it
kills the remaining process groups, and processes that were not reported to it, and removes the
directory.
Such processes have the directory in their environment: a process that is killed while it starts
another one cannot report that one any more. This module needs only the standard library.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator

MARK = "NOVA_GPU_KEPT_IN"
_SWEEPS = 50


def main(directory: str) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: list[int] = []
    for line in sys.stdin:
        group = int(line[1:])
        if line[0] == "+":
            groups.append(group)
        else:
            groups.remove(group)
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    clean = 0
    for _ in range(_SWEEPS):
        found = list(_marked(directory))
        for process in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        shutil.rmtree(directory, ignore_errors=True)
        clean = 0 if found or os.path.exists(directory) else clean + 1
        if clean == 2:
            return
        # A process was still writing when it was killed, or had not yet executed its program.
        time.sleep(0.1)


def _marked(directory: str) -> Iterator[int]:
    mark = f"{MARK}={directory}".encode()
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as environment:
            if mark in environment.read().split(b"\0"):
                yield int(name)


if __name__ == "__main__":
    main(sys.argv[1])
