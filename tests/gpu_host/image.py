# SPDX-License-Identifier: Apache-2.0
"""Build the server's system: Debian with libvirt and QEMU, as tree, disk, kernel, initramfs."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.gpu_host import cache, chroot, packages

GUEST = Path(__file__).with_name("guest")
PACKAGES = (
    # The full kernel: its drivers bind the devices as on a real server.
    "linux-image-amd64",
    "systemd-sysv",
    "dbus",
    "udev",
    "kmod",
    "initramfs-tools",
    "zstd",
    "pciutils",
    "python3",
    "libvirt-daemon-system",
    "libvirt-clients",
    "qemu-system-x86",
)
#: Not used in the server.
EXCLUDED = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*")
#: Units that a server which runs for a minute does not need.
MASKED = (
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty.target",
    "libvirt-guests.service",
    "logrotate.timer",
    "modprobe@configfs.service",
    "modprobe@dm_mod.service",
    "modprobe@drm.service",
    "modprobe@efi_pstore.service",
    "modprobe@fuse.service",
    "modprobe@loop.service",
    "proc-sys-fs-binfmt_misc.automount",
    "sys-fs-fuse-connections.mount",
    "systemd-binfmt.service",
    "systemd-fsck-root.service",
    "systemd-journal-flush.service",
    "systemd-machine-id-commit.service",
    "systemd-pstore.service",
    "systemd-random-seed.service",
    "systemd-update-utmp-runlevel.service",
    "systemd-update-utmp.service",
)
#: Settings of the machine's apt that the download also needs.
APT_SETTINGS = re.compile(
    r"^(Acquire::(?:Check-Date|Check-Valid-Until|Retries|https?::(?:Proxy\S*|Timeout|CaInfo))"
    r' ".*");$',
    re.MULTILINE,
)
DISK_SIZE = "3G"


@dataclass(frozen=True)
class Image:
    """The built system.

    :param tree: its files, never changed
    :param disk: the same files as an ext4 file system in a raw image, never written
    """

    folder: Path

    @property
    def tree(self) -> Path:
        return self.folder / "tree"

    @property
    def disk(self) -> Path:
        return self.folder / "disk.ext4"

    @property
    def kernel(self) -> Path:
        return _only(self.tree / "boot", "vmlinuz-*")

    @property
    def initramfs(self) -> Path:
        return _only(self.tree / "boot", "initrd.img-*")


def image() -> Image:
    """Return the system; build it if necessary (about two minutes)."""
    settings = [*PACKAGES, *EXCLUDED, *MASKED, DISK_SIZE, packages.DEBIAN, Path(__file__), GUEST]
    return Image(cache.built("image", cache.key(settings), _build))


def sources() -> str:
    """Return the Debian sources of this machine's apt for the same Debian release.

    :raises packages.Unavailable: if there are none
    """
    lines = _sources()
    if not lines:
        # The package lists may have been removed, as in a small container image.
        subprocess.run(["apt-get", "-qq", "update"], check=True)
        lines = _sources()
    if not lines:
        raise packages.Unavailable(
            f"apt-get knows no Debian sources of {packages.DEBIAN}: add them to its sources."
        )
    return "".join(f"{line}\n" for line in lines)


def _sources() -> list[str]:
    fields = "$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT)"
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", fields, "Created-By: Packages"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    fields_of_lines = [line.split() for line in listed.splitlines()]
    return sorted(
        {
            f"deb {uri} {release} {component}"
            for origin, uri, release, component in (
                words for words in fields_of_lines if len(words) == 4
            )
            if origin == "Debian" and release.partition("-")[0] == packages.DEBIAN
        }
    )


def disk_of(tree: Path, disk: Path, size: str) -> None:
    """Write a disk image with an ext4 file system of a tree, without mounting anything."""
    with disk.open("wb"):
        pass
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", tree, disk, size], check=True)


def _build(folder: Path) -> None:
    tree = folder / "tree"
    settings = subprocess.run(
        ["apt-config", "dump", "Acquire"], check=True, capture_output=True, text=True
    ).stdout
    command = ["mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory", "--quiet"]
    command += ["--aptopt=APT::Install-Recommends false", "--include=" + ",".join(PACKAGES)]
    command += [f"--aptopt={setting}" for setting in APT_SETTINGS.findall(settings)]
    command += [f"--dpkgopt=path-exclude={path}" for path in EXCLUDED]
    # Before the kernel is installed, which builds the initramfs.
    command += [f"--essential-hook=sync-in {GUEST} /", packages.DEBIAN, str(tree), "-"]
    done = subprocess.run(
        [*chroot.PRIVATE, *command], input=sources(), capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"mmdebstrap failed:\n{done.stderr[-4000:]}")
    _arrange_units(tree / "etc" / "systemd" / "system")
    disk_of(tree, folder / "disk.ext4", DISK_SIZE)


def _arrange_units(units: Path) -> None:
    for unit in MASKED:
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")
    target = units / "multi-user.target.wants"
    # Started by its socket: a job that does not use libvirt does not wait for it.
    (target / "libvirtd.service").unlink()
    (target / "gpu-host-job.service").symlink_to("../gpu-host-job.service")
    (units / "default.target").unlink(missing_ok=True)
    (units / "default.target").symlink_to("/lib/systemd/system/multi-user.target")


def _only(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(pattern)
    return path
