# SPDX-License-Identifier: Apache-2.0
"""The system packages that build and run the virtual server, and what else the machine needs."""

from __future__ import annotations

import functools
import os
import platform
import re
import shutil
import subprocess

from tests import debian
from tests.debian import Unavailable

#: Command that is looked for: Debian package that has it.
COMMANDS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "gcc": "gcc libc6-dev",
    "unshare": "util-linux",
    "setpriv": "util-linux",
}
#: standins.c is made for the insides of this QEMU; the guest is the same Debian as the machine.
QEMU = "7.2"
DEBIAN = "bookworm"


def reason() -> str:
    """Return why this machine cannot build and run the server, or an empty string."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return "The virtual GPU server needs Linux on x86_64."
    if debian.codename() != DEBIAN:
        return f"The virtual GPU server is built on Debian 12 ({DEBIAN}) only."
    if os.geteuid() != 0:
        return "The virtual GPU server is built by root: mmdebstrap and chroot need it."
    return ""


@functools.cache
def ensure() -> None:
    """Install what is missing.

    :raises Unavailable: the machine is not fit, the packages cannot be had, or QEMU is of
        another version than the stand-ins are made for
    """
    if why := reason():
        raise Unavailable(why)
    wanted = {
        package
        for command, packages in COMMANDS.items()
        if not shutil.which(command)
        for package in packages.split()
    }
    if wanted:
        debian.install(sorted(wanted))
    version = qemu_version()
    if not version.startswith(f"{QEMU}."):
        raise Unavailable(
            f"QEMU {version} is installed; tests/gpu_host/standins.c is made for QEMU {QEMU}."
        )


def qemu_version() -> str:
    """Return QEMU's version as in ``7.2.22``."""
    output = subprocess.run(
        ["qemu-system-x86_64", "--version"], check=True, capture_output=True, text=True
    ).stdout
    found = re.search(r"version ([\d.]+)", output)
    return found.group(1) if found else "of unknown version"
