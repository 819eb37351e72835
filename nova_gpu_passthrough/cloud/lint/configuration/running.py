# SPDX-License-Identifier: Apache-2.0
"""Services of Nova that run on this machine, with the files that their command lines tell of.

Those in containers are seen, too: ``/proc/PID/root`` is where a process sees ``/`` (proc(5)).
"""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

from nova_gpu_passthrough.cloud.lint.configuration import started, values
from nova_gpu_passthrough.cloud.lint.configuration.services import Service
from nova_gpu_passthrough.cloud.lint.configuration.started import Command
from nova_gpu_passthrough.errors import UserError

_PROC = Path("/proc")
#: Where oslo.config looks besides the home directory; the first that is there counts.
_FOLDERS = ("etc/nova", "etc")


def find(proc: Path = _PROC) -> tuple[Service, ...]:
    """All of them; workers of one service, which read the same files, are one.

    :raises UserError: if there are none, or if their files cannot be read
    """
    found: dict[tuple[object, ...], Service] = {}
    for process in sorted(path for path in proc.iterdir() if path.name.isdigit()):
        command = started.parse(_words(process))
        if command is None:
            continue
        try:
            files = tuple(_files(process, command))
        except (FileNotFoundError, ProcessLookupError):
            # It has ended meanwhile, too.
            continue
        configuration = values.read(files)
        host = configuration.text("DEFAULT", "host", socket.gethostname())
        key = (command, host, tuple(path.stat().st_ino for path in files))
        found.setdefault(key, Service((command.role,), str(host), configuration))
    if not found:
        raise UserError(
            f"--running: none of {', '.join(started.PROGRAMS)} runs on this machine as a program "
            "of that name; name the files of an API in a web server with --nova-conf"
        )
    return tuple(found.values())


def _words(process: Path) -> list[str]:
    try:
        line = (process / "cmdline").read_bytes()
    except OSError:
        # It has ended meanwhile, or is not to be seen.
        return []
    words = [os.fsdecode(word) for word in line.split(b"\0") if word]
    try:
        # A title is one word.
        return started.split(words[0]) if len(words) == 1 else words
    except ValueError:
        return words


def _files(process: Path, command: Command) -> Iterator[Path]:
    root = process / "root"
    try:
        # The shorter name, where it is the same.
        root = Path("/") if root.samefile("/") else root

        def place(path: str) -> Path:
            return root / path.lstrip("/") if path.startswith("/") else process / "cwd" / path

        names = ("nova", str(command.role))
        files = [_first(root, f"{name}.conf") for name in names]
        folders = [_first(root, f"{name}.conf.d") for name in names]
        for path in command.order(files, folders, place):
            if path.is_file():
                yield path
    except PermissionError as error:
        raise UserError(
            f"--running: {command.role} (process {process.name}): {error.filename} cannot be read; "
            "run this as root"
        ) from None


def _first(root: Path, name: str) -> Path:
    places = [root / folder / name for folder in _FOLDERS]
    return next((place for place in places if place.exists()), places[0])
