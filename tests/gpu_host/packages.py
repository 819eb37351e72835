# SPDX-License-Identifier: Apache-2.0
"""Install the system packages that build and run the virtual server, and check the machine."""

from __future__ import annotations

import functools
import os
import platform
import re
import shutil
import subprocess

from tests import debian
from tests.debian import Unavailable

#: Debian packages by the command that they provide.
COMMANDS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "gcc": "gcc libc6-dev",
    "unshare": "util-linux",
    "setpriv": "util-linux",
}
#: standins.c uses internals of this QEMU; the guest has the same Debian release as the machine.
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
    """Install the missing packages.

    :raises Unavailable: if the machine is unsuitable, a package is not available, or QEMU has
        another version than the stand-ins need
    """
    if why := reason():
        raise Unavailable(why)
    missing = {
        package
        for command, packages in COMMANDS.items()
        if not shutil.which(command)
        for package in packages.split()
    }
    if missing:
        debian.install(sorted(missing))
    version = qemu_version()
    if not version.startswith(f"{QEMU}."):
        raise Unavailable(
            f"QEMU {version} is installed; tests/gpu_host/standins.c needs QEMU {QEMU}."
        )


def qemu_version() -> str:
    """Return the version of QEMU, such as ``7.2.22``."""
    output = subprocess.run(
        ["qemu-system-x86_64", "--version"], check=True, capture_output=True, text=True
    ).stdout
    match = re.search(r"version ([\d.]+)", output)
    return match.group(1) if match else "of unknown version"
