# SPDX-License-Identifier: Apache-2.0
"""The file system that is audited: this machine's, or a recorded tree.

Every read may fail: files are missing in older kernels, unreadable without privileges, garbled in
a recording, or gone because the device has just been unplugged. A missing file reads as None. A
file that exists and cannot be used reads as None, too, and leaves a note for the operator.
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

#: No file that the audit reads is larger; modules.alias and pci.ids have 1 to 2 MiB.
MAX_BYTES = 8 * 2**20
_MISSING = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ENXIO))
#: Kernel files do not contain them; those in a recording could control the operator's terminal.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Root:
    """The files below one directory, addressed by their paths from ``/``.

    :param path: the directory; ``/`` is the running machine
    :raises UserError: if it is no directory, or contains no ``sys``
    """

    def __init__(self, path: Path) -> None:
        if not (path / "sys").is_dir():
            raise UserError(
                f"{path}: contains no directory sys; --root expects a directory with sys and proc, "
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
        """Return the text of a file without surrounding blanks; None if there is no such file."""
        data = self.data(path)
        return None if data is None else _text(data)

    def data(self, path: str, max_bytes: int = MAX_BYTES) -> bytes | None:
        """Return the first bytes of a file; None if there is no such file."""
        try:
            # A recorded tree may have a pipe or a device instead of the file: do not wait for it.
            handle = os.open(self._base + path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            self._note_error(path, error)
            return None
        try:
            if not self._is_open_file_inside(handle):
                self._note_outside(path)
                return None
            chunks, left = [], max_bytes
            while left > 0 and (chunk := os.read(handle, min(left, 2**16))):
                chunks.append(chunk)
                left -= len(chunk)
            return b"".join(chunks)
        except OSError as error:
            self._note_error(path, error)
            return None
        finally:
            os.close(handle)

    def private_text(self, path: str) -> str | None:
        """Return the text of a file that not all users may read, or that not all devices have."""
        data = self.private_data(path)
        return None if data is None else _text(data)

    def private_data(self, path: str, max_bytes: int = MAX_BYTES) -> bytes | None:
        """Return the first bytes of such a file; None, without a note, if it cannot be read."""
        before = dict(self._notes)
        data = self.data(path, max_bytes)
        self._notes = before
        return data

    def parsed(self, path: str, parse: Callable[[str], _T], expected: str) -> _T | None:
        """Return the parsed text of a file; a ValueError of ``parse`` leaves a note.

        :param expected: what the file should contain, for the note
        """
        text = self.text(path)
        if text is None:
            return None
        try:
            return parse(text)
        except ValueError:
            self.note(path, f"contains {text[:40]!r}, expected {expected}")
            return None

    def number(self, path: str) -> int | None:
        """Return the decimal number in a file."""
        return self.parsed(path, _whole_number, "a whole number")

    def names(self, path: str) -> list[str]:
        """Return the sorted names in a directory; empty if there is no such directory."""
        folder = path if self.is_live else self.resolve(path)
        if folder is None:
            return []
        try:
            return sorted(os.listdir(self._base + folder))
        except (OSError, ValueError) as error:
            self._note_error(path, error)
            return []

    def exists(self, path: str) -> bool:
        """Check whether a file or directory exists."""
        try:
            real = os.path.realpath(self._base + path, strict=True)
        except (OSError, ValueError):
            return False
        return self.is_live or self._is_inside(real)

    def link_name(self, path: str) -> str | None:
        """Return the last component of a symbolic link's target, which need not exist."""
        try:
            name = os.path.basename(os.readlink(self._base + path))
        except (OSError, ValueError) as error:
            if not (isinstance(error, OSError) and error.errno == errno.EINVAL):
                self._note_error(path, error)
            return None
        return _printable(name) or None

    def resolve(self, path: str) -> str | None:
        """Return a path from this root with all links resolved; None if it leads elsewhere."""
        try:
            real = os.path.realpath(self._base + path, strict=True)
        except (OSError, ValueError) as error:
            self._note_error(path, error)
            return None
        if self.is_live:
            return real
        if self._is_inside(real):
            return real[len(self._base) :] or "/"
        self._note_outside(path)
        return None

    def note(self, path: str, problem: str) -> None:
        """Remember a problem with a file for `findings`."""
        self._notes.setdefault(_printable(path), _printable(problem))

    def findings(self) -> list[Finding]:
        """Return the files that could not be read, as findings."""
        return [
            Finding(
                "read.unusable",
                Severity.WARNING,
                HOST,
                f"{path} {problem}",
                path,
                "The audit lacks the facts in this file.",
                "Read the file by hand; if the tree is a recording, record it again.",
            )
            for path, problem in sorted(self._notes.items())
        ]

    def _is_open_file_inside(self, handle: int) -> bool:
        """Check whether an open file is below this root: a recording may have absolute links."""
        if not self.is_live:
            # Without /proc this cannot be checked; then the recording is trusted.
            with contextlib.suppress(OSError):
                return self._is_inside(os.readlink(f"/proc/self/fd/{handle}"))
        return True

    def _is_inside(self, real: str) -> bool:
        return real == self._base or real.startswith(self._base + "/")

    def _note_outside(self, path: str) -> None:
        self.note(path, f"is a link to a file outside {self.path}")

    def _note_error(self, path: str, error: Exception) -> None:
        number = error.errno if isinstance(error, OSError) else None
        if number not in _MISSING:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            self.note(path, f"cannot be read ({reason})")


def _text(data: bytes) -> str:
    return _CONTROLS.sub("\ufffd", data.decode(errors="replace").strip("\0 \t\r\n"))


def _whole_number(text: str) -> int:
    number = int(text)
    # The kernel writes no larger numbers; a garbled file must not slow down arithmetic.
    if abs(number) >= 2**64:
        raise ValueError(text)
    return number


def _printable(name: str) -> str:
    """Return a file name as text that an inventory may contain: names need not be UTF-8."""
    text = name.encode(errors="surrogateescape").decode(errors="replace")
    return _CONTROLS.sub("\ufffd", text)
