# SPDX-License-Identifier: Apache-2.0
"""Run a command in the server's system on this machine, whose CPU is not emulated."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

#: Prefix of a command: its mounts and processes end with it, and it ends with this process.
PRIVATE = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private"]
PRIVATE += ["--pid", "--mount-proc", "--fork", "--kill-child"]
#: The tree is read-only except for the folders that are mounted over it.
SCRIPT = """
set -eu
tree=$1; shift
mount --bind "$tree" "$tree"
mount -o remount,ro,bind "$tree"
while [ "$1" != -- ]; do
    mount --bind "$1" "$tree$2"; shift 2
done
shift
mount -t proc proc "$tree/proc"
exec chroot "$tree" "$@"
"""
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/root"}


def run(tree: Path, command: list[str], folders: Mapping[str, Path]) -> str:
    """Run a command with ``tree`` as its root and return its standard output.

    :param folders: folders of this machine, by the path in the tree that they are mounted over
    :raises RuntimeError: if the command fails; the message has its output
    """
    mounts = [word for path, folder in folders.items() for word in (str(folder), path)]
    done = subprocess.run(
        [*PRIVATE, "sh", "-c", SCRIPT, "sh", str(tree), *mounts, "--", *command],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(command)} ended with status {done.returncode} in the server's system:\n"
            f"{(done.stdout + done.stderr)[-4000:]}"
        )
    return done.stdout
