# SPDX-License-Identifier: Apache-2.0
"""List the project's files, and copy them for builds that leave files behind."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def files() -> list[str]:
    """Return the names of all files, including untracked ones; empty outside a git checkout."""
    if not shutil.which("git") or not (ROOT / ".git").exists():
        return []
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return sorted({name for name in names.split("\0") if name and (ROOT / name).is_file()})


def copy(folder: Path) -> None:
    """Copy the project's files into a new git checkout."""
    for name in files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    for words in (["init", "--quiet"], ["add", "--all", "--force"], ["commit", "-qm", "copy"]):
        command = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", *words]
        subprocess.run(command, cwd=folder, check=True, env={**os.environ, "LC_ALL": "C"})
