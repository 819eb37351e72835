# SPDX-License-Identifier: Apache-2.0
"""Fake environments with Nova: an installer reads only the names and versions of packages."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.checkout import ROOT

#: Files with the packages of such environments, as ``pip freeze`` lists them.
FROZEN = sorted(Path(__file__).parent.glob("nova-*.txt"))
_INSTALLED_BY_THE_MAKEFILE = ROOT / ".venv" / "uv" / "bin" / "uv"


class Outcome(NamedTuple):
    """The packages that an installer would add and remove, with their versions."""

    added: dict[str, str]
    removed: dict[str, str]


def installer() -> str | None:
    """Return the path of uv, which resolves like pip but much faster, or None."""
    if _INSTALLED_BY_THE_MAKEFILE.exists():
        return str(_INSTALLED_BY_THE_MAKEFILE)
    return shutil.which("uv")


def versions(frozen: Path) -> dict[str, str]:
    """Return the versions of the packages in a frozen environment, by name."""
    lines = frozen.read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def build(folder: Path, frozen: Path) -> Path:
    """Create an environment with the metadata of these packages; return its interpreter."""
    command = [str(installer()), "venv", "--quiet", "--no-config", "--python", sys.executable]
    subprocess.run([*command, str(folder)], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    for name, version in versions(frozen).items():
        metadata = packages / f"{name.replace('-', '_')}-{version}.dist-info" / "METADATA"
        metadata.parent.mkdir()
        metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return folder / "bin" / "python"


def try_to_install(python: Path, requirements: Path) -> Outcome:
    """Return what the installer would change.

    :raises OSError: if the package registry cannot be reached
    :raises ValueError: if the installer finds no solution; with its message
    """
    command = [str(installer()), "pip", "install", "--dry-run", "--python", str(python)]
    done = subprocess.run(
        [*command, "--requirement", str(requirements)],
        capture_output=True,
        text=True,
        cwd=python.parent,
        env={**os.environ, "UV_HTTP_TIMEOUT": "60", "NO_COLOR": "1"},
    )
    if done.returncode:
        unreachable = ("error sending request", "Failed to fetch", "timed out", "dns error")
        is_unreachable = any(words in done.stderr for words in unreachable)
        raise (OSError if is_unreachable else ValueError)(done.stderr)
    changes: dict[str, dict[str, str]] = {"+": {}, "-": {}}
    for line in done.stderr.splitlines():
        sign, _, package = line.strip().partition(" ")
        if sign in changes and "==" in package:
            name, version = package.split("==")
            changes[sign][name] = version
    return Outcome(changes["+"], changes["-"])
