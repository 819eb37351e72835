# SPDX-License-Identifier: Apache-2.0
"""Build disks with the project and with its dependencies: only the project changes often."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.gpu_host import chroot
from tests.gpu_host.cache import ROOT, built, key
from tests.gpu_host.image import Image, disk_of

REQUIREMENTS = ROOT / "requirements.txt"
CONSTRAINTS = ROOT / "constraints" / "nova-34.txt"
#: Inputs of the project's distribution.
PROJECT = (
    "LICENSE",
    "README.rst",
    "nova_gpu_passthrough",
    "pyproject.toml",
    "requirements.txt",
    "setup.cfg",
    "setup.py",
)
#: The Python version of the guest, independent of the one that runs the tests.
PYTHON = "3.11"
PLATFORM = "x86_64-manylinux_2_28"


def dependencies(image: Image) -> Path:
    """Return the disk with the packages of requirements.txt in the pinned versions."""

    def build(folder: Path) -> None:
        packages = folder / "packages"
        options = ["--requirement", REQUIREMENTS, "--constraint", CONSTRAINTS]
        _install(packages, "--only-binary", ":all:", *options)
        _finish(image, packages, folder / "disk.ext4", "256M")

    settings = [REQUIREMENTS, CONSTRAINTS, Path(__file__), PYTHON, image.folder.name]
    return built("dependencies", key(settings), build) / "disk.ext4"


def project(image: Image) -> Path:
    """Return the disk with the project as pip installs it, including entry points."""
    inputs = [ROOT / name for name in PROJECT]

    def build(folder: Path) -> None:
        # A copy, since pbr writes into the source tree, which others use.
        source = folder / "source"
        source.mkdir()
        for path in inputs:
            copy = shutil.copytree if path.is_dir() else shutil.copy2
            copy(path, source / path.name)
        # pbr packages the data files that git tracks; in the copy these include new files.
        for arguments in (["init", "--quiet"], ["add", "--all"]):
            subprocess.run(["git", *arguments], cwd=source, check=True)
        packages = folder / "packages"
        _install(packages, "--no-deps", "--no-build-isolation", source)
        _finish(image, packages, folder / "disk.ext4", "32M")

    return built("project", key([*inputs, Path(__file__), image.folder.name]), build) / "disk.ext4"


def _install(target: Path, *arguments: str | Path) -> None:
    uv = ROOT / ".venv" / "uv" / "bin" / "uv"
    if not uv.is_file():
        subprocess.run([sys.executable, ROOT / "tools" / "venv.py", "uv"], check=True)
    command = [uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", target]
    command += ["--python-version", PYTHON, "--python-platform", PLATFORM, *arguments]
    # pbr would take the version from git, but the copy has no tags.
    settings = {"PBR_VERSION": "0.0.1", "UV_HTTP_TIMEOUT": "120", "UV_LINK_MODE": "copy"}
    done = subprocess.run(
        command, env={**os.environ, **settings}, capture_output=True, text=True, cwd=ROOT
    )
    if done.returncode:
        raise RuntimeError(f"uv could not install {arguments[-1]} for the server:\n{done.stderr}")


def _finish(image: Image, packages: Path, disk: Path, size: str) -> None:
    # Compiled here, since the disk is read-only and the server's CPU is slow.
    command = ["python3", "-m", "compileall", "-q", "--invalidation-mode"]
    chroot.run(image.tree, [*command, "unchecked-hash", "/mnt"], {"/mnt": packages})
    disk_of(packages, disk, size)
