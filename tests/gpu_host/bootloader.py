# SPDX-License-Identifier: Apache-2.0
"""What update-initramfs and update-grub make of the server's /etc, for its next boot.

Both run the server's own programs on the server's own files, on this machine: update-initramfs
takes 2 seconds here and a minute in there.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.gpu_host import chroot
from tests.gpu_host.image import Image


def initramfs(image: Image, etc: Path, folder: Path) -> Path:
    """Build the initramfs anew and return it.

    :param etc: an archive of the server's /etc
    :param folder: an empty folder to work in
    """
    places = {}
    for place in ("/etc", "/tmp", "/var/tmp"):
        places[place] = folder / place.strip("/").replace("/", "-")
        places[place].mkdir()
    _unpack(etc, folder)
    version = image.kernel.name.removeprefix("vmlinuz-")
    chroot.run(image.tree, ["update-initramfs", "-c", "-k", version, "-b", "/tmp"], places)
    return places["/tmp"] / f"initrd.img-{version}"


def command_line(image: Image, etc: Path, folder: Path) -> str:
    """Return the kernel command line that /etc/default/grub and grub.d/ ask for."""
    _unpack(etc, folder)
    command = ["/usr/local/sbin/gpu-host-command-line"]
    return chroot.run(image.tree, command, {"/etc": folder / "etc"}).strip()


def _unpack(etc: Path, folder: Path) -> None:
    subprocess.run(["tar", "--extract", "--file", etc, "--directory", folder], check=True)
