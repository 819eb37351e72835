# SPDX-License-Identifier: Apache-2.0
"""How long ``nova-gpu`` takes to say which commands there are."""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tests.benchmarks import report

_LIMIT = 0.4
_BIN = Path(sys.executable).parent
#: What is started, the openstack program for comparison where it is installed.
_PROGRAMS = (
    ("nova-gpu", "--help"),
    ("nova-gpu", "--version"),
    ("nova-gpu", "host", "audit", "--help"),
    ("nova-gpu", "capacity", "--help"),
    ("openstack", "--help"),
)


def _once(command: list[str]) -> tuple[float, float]:
    """Seconds by the clock, and processor seconds of the program."""
    before, start = os.times(), time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    elapsed, after = time.monotonic() - start, os.times()
    used = after.children_user - before.children_user
    return elapsed, used + after.children_system - before.children_system


def main(verdicts: report.Verdicts, quick: bool) -> None:
    """Measure, print, judge."""
    report.progress("startup: running the programs")
    rows, slowest = [], 0.0
    for name, *words in _PROGRAMS:
        if not (_BIN / name).exists():
            continue
        command = [str(_BIN / name), *words]
        # The first run fills caches of the file system and of stevedore.
        times = [_once(command) for _ in range(4 if quick else 11)][1:]
        elapsed, used = (statistics.median(column) for column in zip(*times, strict=True))
        if words == ["--help"] and name == "nova-gpu":
            slowest = elapsed
        rows.append([" ".join([name, *words]), *map(report.milliseconds, (elapsed, used))])
    report.heading("Start of the programs, ms (median)")
    report.table(["", "by the clock", "processor"], rows, ["Other load on the machine counts."])
    verdicts.add(
        f"nova-gpu --help takes less than {_LIMIT} s",
        slowest < _LIMIT,
        f"{report.milliseconds(slowest)} ms",
    )
