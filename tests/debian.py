# SPDX-License-Identifier: Apache-2.0
"""Install Debian packages that tests need, or unpack them into a folder."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path


class Unavailable(Exception):
    """This machine cannot run the tests; the message gives the reason in one sentence."""


def codename() -> str:
    """Return the distribution's code name, such as ``bookworm``, or an empty string."""
    try:
        return platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    except OSError:
        return ""


def install(packages: Sequence[str]) -> None:
    """Install packages; needs root.

    :raises Unavailable: if they cannot be installed
    """
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        done = subprocess.run(
            ["apt-get", "-qq", *arguments], env=environment, capture_output=True, text=True
        )
    if done.returncode:
        raise Unavailable(
            f"These packages are missing and apt-get could not install them: {' '.join(packages)}"
            f" ({done.stderr.strip().splitlines()[-1:]})."
        )


def unpack(packages: Sequence[str], folder: Path) -> None:
    """Unpack packages and their missing dependencies below a folder.

    Nothing is installed: no user is created, no service started, and root is not needed (except to
    update the lists of packages if they are out of date).

    :raises Unavailable: if they cannot be downloaded
    """
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise Unavailable(f"apt-get and dpkg-deb are needed for {' '.join(packages)}.")
    with tempfile.TemporaryDirectory() as downloads:
        try:
            _download(packages, Path(downloads))
        except subprocess.CalledProcessError:
            subprocess.run(["apt-get", "-qq", "update"], capture_output=True)
            try:
                _download(packages, Path(downloads))
            except subprocess.CalledProcessError as error:
                last = (error.stderr or "").strip().splitlines()[-1:]
                raise Unavailable(
                    f"apt-get could not download {' '.join(packages)} ({' '.join(last)})."
                ) from error
        for package in sorted(Path(downloads).glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", package, folder], check=True)


def _download(packages: Sequence[str], folder: Path) -> None:
    def apt_get(*arguments: str) -> str:
        # Otherwise apt downloads as a user who may not write to this folder.
        return subprocess.run(
            ["apt-get", "-o", "APT::Sandbox::User=root", *arguments],
            check=True,
            capture_output=True,
            text=True,
            cwd=folder,
        ).stdout

    plan = apt_get("install", "--simulate", "--no-install-recommends", *packages)
    missing = {line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")}
    # The given packages are always unpacked: an installed one may use other paths.
    apt_get("download", *sorted(missing | set(packages)))
