# SPDX-License-Identifier: Apache-2.0
"""Audit a synthetic GPU server and generate its configuration with nova-gpu."""

import shlex
import subprocess
import sys
from pathlib import Path

from tests.trees import defects, l40s, scratch, write

#: Devices with a narrow link and without a NUMA node; the host's drivers are wrong, too.
NARROW, WITHOUT_NUMA_NODE = "0000:21:00.0", "0000:91:00.0"


def _machine() -> defects.Machine:
    machine = l40s.machine(driver="nouveau", audio_driver="snd_hda_intel")
    return defects.no_numa_node(defects.degraded(machine, NARROW, width=8), WITHOUT_NUMA_NODE)


def _run(folder: Path, *arguments: str) -> int:
    print(f"$ nova-gpu {shlex.join(arguments)}", flush=True)
    command = [sys.executable, "-m", "nova_gpu_passthrough.cli.main", *arguments]
    status = subprocess.call(command, cwd=folder, stdin=subprocess.DEVNULL)
    print(f"[exit status {status}]\n", flush=True)
    return status


def main() -> int:
    """Run the commands; return 0 if their exit statuses are as expected."""
    print("A synthetic server with four L40S, as delivered:\n", flush=True)
    with scratch.directory() as folder:
        write(_machine(), folder / "gpu01")
        audit = ("host", "audit", "--root", "gpu01", "--host", "gpu01", "--write", "gpu01.yaml")
        as_expected = _run(folder, *audit) == 2
        as_expected &= _run(folder, "config", "generate", "gpu01.yaml", "--write", "out") == 0
        return 0 if as_expected else 1


if __name__ == "__main__":
    sys.exit(main())
