# SPDX-License-Identifier: Apache-2.0
"""Measure how long ``nova-gpu`` takes to list its commands."""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tests.benchmarks import report

_LIMIT = 0.4
_BIN = Path(sys.executable).parent
#: The programs to start; openstack for comparison, if it is installed.
_PROGRAMS = (
    ("nova-gpu", "--help"),
    ("nova-gpu", "--version"),
    ("nova-gpu", "host", "audit", "--help"),
    ("nova-gpu", "capacity", "--help"),
    ("openstack", "--help"),
)


def _once(command: list[str]) -> tuple[float, float]:
    """Return the elapsed seconds and the processor seconds of a program."""
    before, start = os.times(), time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    elapsed, after = time.monotonic() - start, os.times()
    used = after.children_user - before.children_user
    return elapsed, used + after.children_system - before.children_system


def main(expectations: report.Expectations, quick: bool) -> None:
    """Measure and print, and compare with the expectations."""
    report.progress("startup: running the programs")
    rows, slowest = [], 0.0
    for name, *arguments in _PROGRAMS:
        if not (_BIN / name).exists():
            continue
        command = [str(_BIN / name), *arguments]
        # The first run fills the caches of the file system and of stevedore.
        times = [_once(command) for _ in range(4 if quick else 11)][1:]
        elapsed, used = (statistics.median(column) for column in zip(*times, strict=True))
        if arguments == ["--help"] and name == "nova-gpu":
            slowest = elapsed
        rows.append([" ".join([name, *arguments]), *map(report.milliseconds, (elapsed, used))])
    report.heading("Start of the programs, ms (median)")
    report.table(
        ["", "elapsed", "processor"], rows, ["Other load on the machine affects the times."]
    )
    expectations.add(
        f"nova-gpu --help takes less than {_LIMIT} s",
        slowest < _LIMIT,
        f"{report.milliseconds(slowest)} ms",
    )
