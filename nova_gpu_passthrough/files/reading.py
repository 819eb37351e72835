# SPDX-License-Identifier: Apache-2.0
"""Read files that users name: at most so many bytes, and never from what may not end or answer.

A command line may name anything: a device that never ends, a pipe into which nobody writes, the
image of a disk. Each ends the command at once, with one sentence.
"""

import contextlib
import os
import stat
from pathlib import Path

from nova_gpu_passthrough.errors import UserError

_MIB = 2**20
#: The limit of files that people or this program write: an inventory of 200 functions has 100 KiB.
MAX_BYTES = 8 * _MIB
#: The limit of files whose length grows with the number of servers: traces and records of apply.
MAX_BYTES_OF_LISTS = 64 * _MIB
_CHUNK = 2**20
#: Kinds of what is not a file, by the type in its mode.
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def read_bytes(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """Return the content of a regular file, or of a pipe that the shell made (``<(command)``).

    :raises UserError: if it is something else, cannot be read, or is larger than ``max_bytes``
    """
    try:
        # A device may act when it is opened: look at it first.
        _check(path, os.stat(path), max_bytes)
        # A file of /proc, or a pipe that has replaced the file since, would block.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        with open(handle, "rb", buffering=0) as file:
            if _check(path, os.fstat(handle), max_bytes) == stat.S_IFIFO:
                os.set_blocking(handle, True)
            chunks, left = [], max_bytes + 1
            while left > 0 and (chunk := file.read(min(left, _CHUNK))):
                chunks.append(chunk)
                left -= len(chunk)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: {reason}; name a readable file") from None
    if left <= 0:
        raise _too_large(path, max_bytes)
    return b"".join(chunks)


def read_text(path: Path, max_bytes: int = MAX_BYTES) -> str:
    """Return the text of a file in UTF-8, with lines that end in ``\\n``.

    :raises UserError: as `read_bytes`, or if it is not UTF-8
    """
    data = read_bytes(path, max_bytes)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{line}: not valid UTF-8; is it the right file?") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _check(path: Path, status: os.stat_result, max_bytes: int) -> int:
    """Return the type of a file; raise UserError if it must not be read."""
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFREG:
        if status.st_size > max_bytes:
            raise _too_large(path, max_bytes)
    elif not (kind == stat.S_IFIFO and _is_made_by_shell(path)):
        raise UserError(
            f"{path} is {_KINDS.get(kind, 'not a file')}, not a file; name a regular file"
        )
    return kind


def _is_made_by_shell(path: Path) -> bool:
    """Check whether a pipe has no name: it was opened for writing before this program started."""
    with contextlib.suppress(OSError):
        return os.path.basename(os.path.realpath(path)).startswith("pipe:[")
    return False


def _too_large(path: Path, max_bytes: int) -> UserError:
    return UserError(f"{path} has more than {max_bytes // _MIB} MiB; is it the right file?")
