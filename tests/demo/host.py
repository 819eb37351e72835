# SPDX-License-Identifier: Apache-2.0
"""Audits a synthetic GPU server and generates its configuration, with nova-gpu itself."""

import shlex
import subprocess
import sys
from pathlib import Path

from tests.trees import defects, l40s, scratch, write

#: What the audit is to find: drivers of the host, a narrow link, a NUMA node that is not told.
NARROW, NOWHERE = "0000:21:00.0", "0000:91:00.0"


def _machine() -> defects.Machine:
    machine = l40s.machine(driver="nouveau", audio_driver="snd_hda_intel")
    return defects.no_numa_node(defects.degraded(machine, NARROW, width=8), NOWHERE)


def _run(folder: Path, *words: str) -> int:
    print(f"$ nova-gpu {shlex.join(words)}", flush=True)
    command = [sys.executable, "-m", "nova_gpu_passthrough.cli.main", *words]
    status = subprocess.call(command, cwd=folder, stdin=subprocess.DEVNULL)
    print(f"[exit status {status}]\n", flush=True)
    return status


def main() -> int:
    """Run the commands; 0 if they ended as they should."""
    print("A server with four L40S (synthetic), as it was delivered:\n", flush=True)
    with scratch.directory() as folder:
        write(_machine(), folder / "gpu01")
        audit = ("host", "audit", "--root", "gpu01", "--host", "gpu01", "--write", "gpu01.yaml")
        as_expected = _run(folder, *audit) == 2
        as_expected &= _run(folder, "config", "generate", "gpu01.yaml", "--write", "out") == 0
        return 0 if as_expected else 1


if __name__ == "__main__":
    sys.exit(main())
