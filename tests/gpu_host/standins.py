# SPDX-License-Identifier: Apache-2.0
"""Compile the library of PCI stand-in devices for QEMU."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.gpu_host import cache, packages

SOURCE = Path(__file__).with_name("standins.c")
COMPILE = ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]


def library() -> Path:
    """Return the library to preload into QEMU, compiled for the installed QEMU."""

    def build(folder: Path) -> None:
        subprocess.run([*COMPILE, "-o", folder / "standins.so", SOURCE], check=True)

    key = cache.key([SOURCE, *COMPILE, packages.qemu_version()])
    return cache.built("standins", key, build) / "standins.so"
