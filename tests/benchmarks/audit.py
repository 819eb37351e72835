# SPDX-License-Identifier: Apache-2.0
"""Measure the host audit of 256 PCI functions with 64 GPUs, in one process and as a program."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from nova_gpu_passthrough.host import audit, sysfs
from nova_gpu_passthrough.host.root import Root
from tests.benchmarks import report, timing
from tests.trees import write
from tests.trees.many import many

_LIMIT = 1.0
#: Numbers of functions and GPUs.
_SIZES = ((64, 8), (256, 64))
#: Numbers of entries in a distribution's files, which are searched for every function.
_ALIASES, _NAMED_DEVICES = 20_000, 25_000
_COMMANDS = (
    ("host audit", ("host", "audit")),
    ("host audit -f json", ("host", "audit", "-f", "json")),
    ("gpu list", ("gpu", "list")),
    ("--help", ("--help",)),
)


def main(expectations: report.Expectations, quick: bool) -> None:
    """Measure and print, and compare with the expectations."""
    repeats = 3 if quick else 7
    rows = []
    for functions, gpus in _SIZES:
        report.progress(f"audit: {functions} functions, {gpus} GPUs")
        # In memory, as the kernel's own files are.
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        with tempfile.TemporaryDirectory(dir=memory) as folder:
            tree = _tree(Path(folder), functions, gpus)
            in_process = statistics.median(
                timing.seconds(lambda tree=tree: _audit(tree)) for _ in range(repeats)
            )
            by_command = [_program(command, tree, repeats) for _, command in _COMMANDS]
        rows.append(
            [
                f"{functions} functions, {gpus} GPUs",
                report.milliseconds(in_process),
                *(report.milliseconds(seconds) for seconds in by_command),
            ]
        )
    report.heading("Host audit of a synthetic server: ms")
    report.table(
        ["", "in process", *(name for name, _ in _COMMANDS)],
        rows,
        [
            f"{_ALIASES:,} lines are added to modules.alias and {_NAMED_DEVICES:,} to pci.ids.",
            "Commands run as programs: elapsed time, with the start of the interpreter.",
        ],
    )
    worst = max(by_command[:2])
    expectations.add(
        f"an audit of {functions} functions with {gpus} GPUs takes under {_LIMIT:g} s",
        worst < _LIMIT,
        f"{worst:.2f} s as a program, {in_process:.2f} s of it in the audit",
    )


def _tree(folder: Path, functions: int, gpus: int) -> Path:
    machine = many(gpus, functions)
    tree = write(machine, folder / "tree")
    with (tree / f"lib/modules/{machine.kernel}/modules.alias").open("a") as file:
        file.writelines(
            f"alias pci:v00008086d{number:08X}sv*sd*bc*sc*i* driver_{number % 500}\n"
            for number in range(_ALIASES)
        )
    with (tree / "usr/share/misc/pci.ids").open("a") as file:
        file.writelines(
            f"{0xC000 + number // 10:04x}  Vendor\n" if number % 10 == 0 else
            f"\t{number % 65536:04x}  A device with a name of the usual length [{number}]\n"
            for number in range(_NAMED_DEVICES)
        )  # fmt: skip
    return tree


def _audit(tree: Path) -> None:
    root = Root(tree)
    facts = sysfs.read(root)
    audit.judge(facts, root.findings())


def _program(command: tuple[str, ...], tree: Path, repeats: int) -> float:
    """Return the median elapsed seconds."""
    root = ("--root", str(tree)) if command[0] != "--help" else ()
    elapsed = []
    for _ in range(repeats):
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "nova_gpu_passthrough.cli.main", *command, *root],
            stdout=subprocess.DEVNULL,
            check=True,
        )
        elapsed.append(time.perf_counter() - start)
    return statistics.median(elapsed)
