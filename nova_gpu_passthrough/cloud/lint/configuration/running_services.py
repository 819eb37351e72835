# SPDX-License-Identifier: Apache-2.0
"""Nova services that run on this machine, with the files that their command lines name.

Services in containers are included: ``/proc/PID/root`` is the root directory of a process
(proc(5)).
"""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

from nova_gpu_passthrough.cloud.lint.configuration import command_line, config_files
from nova_gpu_passthrough.cloud.lint.configuration.command_line import ServiceCommand
from nova_gpu_passthrough.cloud.lint.configuration.services import ConfiguredService
from nova_gpu_passthrough.errors import UserError

_PROC = Path("/proc")
#: Where oslo.config looks besides the home directory; the first existing path is used.
_DIRECTORIES = ("etc/nova", "etc")


def find(proc: Path = _PROC) -> tuple[ConfiguredService, ...]:
    """Return all running services; workers that read the same files are one service.

    :raises UserError: if none runs, or if their files cannot be read
    """
    services: dict[tuple[object, ...], ConfiguredService] = {}
    for process in sorted(path for path in proc.iterdir() if path.name.isdigit()):
        command = command_line.parse(_words(process))
        if command is None:
            continue
        try:
            files = tuple(_files(process, command))
        except (FileNotFoundError, ProcessLookupError):
            # The process has ended since.
            continue
        configuration = config_files.read(files)
        host = configuration.text("DEFAULT", "host", socket.gethostname())
        key = (command, host, tuple(path.stat().st_ino for path in files))
        services.setdefault(key, ConfiguredService((command.role,), str(host), configuration))
    if not services:
        raise UserError(
            f"--running: none of {', '.join(command_line.PROGRAMS)} runs on this machine as a "
            "program of that name; name the files of an API in a web server with --nova-conf"
        )
    return tuple(services.values())


def _words(process: Path) -> list[str]:
    try:
        line = (process / "cmdline").read_bytes()
    except OSError:
        # The process has ended since, or may not be read.
        return []
    words = [os.fsdecode(word) for word in line.split(b"\0") if word]
    try:
        # A process title is a single word.
        return command_line.split(words[0]) if len(words) == 1 else words
    except ValueError:
        return words


def _files(process: Path, command: ServiceCommand) -> Iterator[Path]:
    root = process / "root"
    try:
        # Outside containers, prefer the shorter path.
        root = Path("/") if root.samefile("/") else root

        def locate(path: str) -> Path:
            return root / path.lstrip("/") if path.startswith("/") else process / "cwd" / path

        names = ("nova", str(command.role))
        files = [_first_existing(root, f"{name}.conf") for name in names]
        directories = [_first_existing(root, f"{name}.conf.d") for name in names]
        for path in command.order(files, directories, locate):
            if path.is_file():
                yield path
    except PermissionError as error:
        raise UserError(
            f"--running: {command.role} (process {process.name}): {error.filename} cannot be read; "
            "run this command as root"
        ) from None


def _first_existing(root: Path, name: str) -> Path:
    paths = [root / directory / name for directory in _DIRECTORIES]
    return next((path for path in paths if path.exists()), paths[0])
