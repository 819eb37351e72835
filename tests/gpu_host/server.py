# SPDX-License-Identifier: Apache-2.0
"""Boot the virtual GPU server, run a job in it, and return its output.

    server = GpuServer(tmp_path)
    first = server.boot("#!/bin/sh\nlspci -nn\n")
    print(first.stdout)

A job is a script with a shebang line (``#!/bin/sh``, ``#!/usr/bin/python3``). It runs as root in
its own folder when the system is up and udev has settled. ``files`` are copied into the folder
before, and ``result.folder`` has the files that the job wrote. ``nova-gpu`` and the package are
installed. The disk is kept between the boots of one GpuServer, so that a job may write to /etc;
:meth:`GpuServer.update_boot` then builds the initramfs and the kernel command line of the next boot
from it, as update-initramfs and update-grub would.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.gpu_host import bootloader, machine, packages, payload, standins
from tests.gpu_host.hardware import Server
from tests.gpu_host.image import Image, image
from tests.gpu_host.topology import SERVER

#: The kernel options that passthrough needs.
IOMMU_ON = "intel_iommu=on iommu=pt"
#: Without no_timer_check the kernel may panic on a busy machine, since timer ticks come late.
CONSOLE = "root=/dev/vda rw console=ttyS0 panic=-1 no_timer_check"
#: Seconds for a boot with its job: several times the duration on an idle machine.
LIMIT = 400
CONSOLE_LINES = 40


class BootFailure(AssertionError):
    """The server did not finish its job; the message has the last lines of the console."""


class JobFailure(AssertionError):
    """A job ended with a status other than 0; the message has its output."""


@dataclass(frozen=True)
class Result:
    """The result of a boot.

    :param folder: the job's folder, with the files that the job wrote
    :param console: output of kernel and system on the console
    :param seconds: time from power on to power off
    """

    folder: Path
    status: int
    console: str
    seconds: float

    @property
    def stdout(self) -> str:
        return self.read("stdout")

    @property
    def stderr(self) -> str:
        return self.read("stderr")

    def read(self, name: str) -> str:
        """Return the text of a file that the job wrote."""
        return (self.folder / name).read_text(errors="replace")

    def json(self, name: str = "stdout") -> Any:
        """Return a JSON document that the job wrote, by default to its standard output."""
        return json.loads(self.read(name))

    def check(self) -> Result:
        """Return this result.

        :raises JobFailure: if the job ended with a status other than 0
        """
        if self.status:
            text = f"{self.stdout}\n{self.stderr}".strip()
            raise JobFailure(f"The job ended with status {self.status}:\n{text[-4000:]}")
        return self


class GpuServer:
    """A virtual GPU server with its own disk.

    :param folder: an empty folder for the disk and one folder per boot
    :param server: its hardware
    :param iommu: whether the board has an IOMMU
    """

    def __init__(self, folder: Path, server: Server = SERVER, *, iommu: bool = True) -> None:
        packages.ensure()
        self.folder = folder
        self.server = server
        self.iommu = iommu
        self.image: Image = image()
        self.initramfs = self.image.initramfs
        #: Kernel options of the next boot, besides root disk and console.
        self.command_line = ""
        self.boots = 0
        self._etc = folder / "none"
        self._disk = folder / "disk.qcow2"
        base = ["-f", "qcow2", "-F", "raw", "-b", str(self.image.disk)]
        subprocess.run(["qemu-img", "create", "-q", *base, str(self._disk)], check=True)
        (folder / "standins").write_text(machine.standins(server))

    def boot(
        self,
        job: str,
        *,
        files: Mapping[str, str | bytes | Path] | None = None,
        command_line: str | None = None,
        limit: float = LIMIT,
    ) -> Result:
        """Power on, run the job, power off.

        :param files: files for the job's folder, by relative name; a Path is copied, a folder
            with its content
        :param command_line: kernel options of this boot instead of ``self.command_line``
        :param limit: seconds after which it is killed
        :raises BootFailure: if it was killed, or the job did not finish
        """
        self.boots += 1
        folder = self.folder / f"boot{self.boots}"
        folder.mkdir()
        for name, content in (files or {}).items():
            _write(folder / name, content)
        _write(folder / "job", job)
        (folder / "job").chmod(0o755)
        console = self.folder / f"console{self.boots}"
        options = self.command_line if command_line is None else command_line
        started = time.monotonic()
        output = _run(self._command(folder, console, options), self.folder / "standins", limit)
        seconds = time.monotonic() - started
        text = console.read_text(errors="replace") if console.exists() else ""
        if not (folder / "status").exists():
            last = "\n".join(text.splitlines()[-CONSOLE_LINES:])
            reason = output or f"it had not finished after {seconds:.0f} s"
            raise BootFailure(f"The server did not finish its job: {reason}\n{last}")
        self._etc = folder / "etc.tar"
        return Result(folder, int((folder / "status").read_text()), text, seconds)

    def update_boot(self) -> None:
        """Build initramfs and kernel command line from the /etc of the last boot."""
        work = self.folder / f"update{self.boots}"
        for name in ("initramfs", "command_line"):
            (work / name).mkdir(parents=True)
        self.initramfs = bootloader.initramfs(self.image, self._etc, work / "initramfs")
        self.command_line = bootloader.command_line(self.image, self._etc, work / "command_line")

    def _command(self, folder: Path, console: Path, options: str) -> list[str]:
        command = ["qemu-system-x86_64", *machine.arguments(self.server, iommu=self.iommu)]
        command += machine.disk("root", self._disk, "qcow2", 0, read_only=False)
        disks = {"dependencies": payload.dependencies, "project": payload.project}
        for index, (name, disk) in enumerate(disks.items(), start=1):
            command += machine.disk(name, disk(self.image), "raw", index, read_only=True)
        command += machine.shared_folder("job", folder)
        command += ["-serial", f"file:{console}", "-kernel", str(self.image.kernel)]
        return [*command, "-initrd", str(self.initramfs), "-append", f"{CONSOLE} {options}"]


def _run(command: list[str], types: Path, limit: float) -> str:
    """Run QEMU until it exits; return its output if it failed."""
    # QEMU must not outlive this process. The library is only for QEMU, so env comes last.
    preload = [f"LD_PRELOAD={standins.library()}", f"GPU_HOST_STANDINS={types}"]
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "env", *preload, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=dict(os.environ),
    )
    try:
        output, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        return f"it was stopped after its limit of {limit:.0f} s"
    finally:
        process.kill()
        process.wait()
    return f"QEMU failed: {output.strip()}" if process.returncode else ""


def _write(path: Path, content: str | bytes | Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Path):
        if content.is_dir():
            shutil.copytree(content, path, symlinks=True)
        else:
            shutil.copy2(content, path)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
