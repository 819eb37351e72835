# SPDX-License-Identifier: Apache-2.0
"""The file system that is audited: this machine's, or a recorded tree's.

Every read may fail: files are missing on older kernels, unreadable without privileges, garbled in
a recording, or gone because the device has just been unplugged. A missing file reads as None. What
is there and cannot be used reads as None, too, and leaves a note for the operator.
"""

import contextlib
import errno
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.inventory.findings import HOST, Finding, Severity

_T = TypeVar("_T")

#: Nothing that the audit reads is larger; modules.alias and pci.ids have 1 to 2 MiB.
MAX_BYTES = 8 * 2**20
_GONE = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ENXIO))
#: No file of the kernel's has them; in a recording they could drive the reader's terminal.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Root:
    """Files below one directory, by their paths from ``/``.

    :param path: the directory; ``/`` is the running machine
    :raises UserError: if it is no directory, or has no ``sys`` in it
    """

    def __init__(self, path: Path) -> None:
        if not (path / "sys").is_dir():
            raise UserError(
                f"{path}: no directory sys in it; --root expects a directory with sys and proc, "
                "such as / or a recorded tree"
            )
        self.path = path
        self._base = os.path.realpath(path)
        self._notes: dict[str, str] = {}

    @property
    def is_live(self) -> bool:
        """Whether it is the running machine."""
        return self._base == "/"

    def text(self, path: str) -> str | None:
        """A file's text without the blanks around it; None if there is none."""
        data = self.data(path)
        if data is None:
            return None
        return _CONTROLS.sub("\ufffd", data.decode(errors="replace").strip("\0 \t\r\n"))

    def data(self, path: str, most: int = MAX_BYTES) -> bytes | None:
        """A file's first bytes; None if there is no such file."""
        try:
            # A recorded tree may hold a pipe or a device where a file was: do not wait for it.
            handle = os.open(self._base + path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            self._failed(path, error)
            return None
        try:
            if not self._holds(handle):
                self._leads_out(path)
                return None
            parts, left = [], most
            while left > 0 and (part := os.read(handle, min(left, 2**16))):
                parts.append(part)
                left -= len(part)
            return b"".join(parts)
        except OSError as error:
            self._failed(path, error)
            return None
        finally:
            os.close(handle)

    def parsed(self, path: str, parse: Callable[[str], _T], expected: str) -> _T | None:
        """What ``parse`` makes of a file's text; a ValueError of it leaves a note.

        :param expected: what the file should hold, for that note
        """
        text = self.text(path)
        if text is None:
            return None
        try:
            return parse(text)
        except ValueError:
            self.note(path, f"holds {text[:40]!r}, expected {expected}")
            return None

    def number(self, path: str) -> int | None:
        """A file's decimal number."""
        return self.parsed(path, _whole, "a whole number")

    def names(self, path: str) -> list[str]:
        """Names in a directory, sorted; empty if there is none."""
        folder = path if self.is_live else self.resolve(path)
        if folder is None:
            return []
        try:
            return sorted(os.listdir(self._base + folder))
        except (OSError, ValueError) as error:
            self._failed(path, error)
            return []

    def exists(self, path: str) -> bool:
        """Whether there is such a file or directory."""
        try:
            real = os.path.realpath(self._base + path, strict=True)
        except (OSError, ValueError):
            return False
        return self.is_live or self._inside(real)

    def link_name(self, path: str) -> str | None:
        """The last part of what a symbolic link points to, whether or not that exists."""
        try:
            name = os.path.basename(os.readlink(self._base + path))
        except (OSError, ValueError) as error:
            if not (isinstance(error, OSError) and error.errno == errno.EINVAL):
                self._failed(path, error)
            return None
        return _printable(name) or None

    def resolve(self, path: str) -> str | None:
        """Where a path leads, links followed, as a path from this root; None if nowhere in it."""
        try:
            real = os.path.realpath(self._base + path, strict=True)
        except (OSError, ValueError) as error:
            self._failed(path, error)
            return None
        if self.is_live:
            return real
        if self._inside(real):
            return real[len(self._base) :] or "/"
        self._leads_out(path)
        return None

    def note(self, path: str, problem: str) -> None:
        """Keep what is wrong with a file."""
        self._notes.setdefault(_printable(path), _printable(problem))

    def findings(self) -> list[Finding]:
        """What could not be read, for the operator."""
        return [
            Finding(
                "read.unusable",
                Severity.WARNING,
                HOST,
                f"{path} {problem}",
                path,
                "What it would tell is missing from the audit.",
                "Read it by hand; if the tree is a recording, record it anew.",
            )
            for path, problem in sorted(self._notes.items())
        ]

    def _holds(self, handle: int) -> bool:
        """Whether an open file is below this root: links of a recording may be absolute."""
        if not self.is_live:
            # Without /proc there is no telling; then the recording is trusted.
            with contextlib.suppress(OSError):
                return self._inside(os.readlink(f"/proc/self/fd/{handle}"))
        return True

    def _inside(self, real: str) -> bool:
        return real == self._base or real.startswith(self._base + "/")

    def _leads_out(self, path: str) -> None:
        self.note(path, f"leads out of {self.path}")

    def _failed(self, path: str, error: Exception) -> None:
        number = error.errno if isinstance(error, OSError) else None
        if number not in _GONE:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            self.note(path, f"cannot be read ({reason})")


def _whole(text: str) -> int:
    number = int(text)
    # The kernel has none that are longer; a garbled file must not make the reckoning slow.
    if abs(number) >= 2**64:
        raise ValueError(text)
    return number


def _printable(name: str) -> str:
    """A file's name as text: names need not be UTF-8, what is written into an inventory must be."""
    text = name.encode(errors="surrogateescape").decode(errors="replace")
    return _CONTROLS.sub("\ufffd", text)
