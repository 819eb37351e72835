# SPDX-License-Identifier: Apache-2.0
"""Write generated files atomically, and never replace a file that the user edited.

A generated file begins with a seal: the command that made it, and a checksum of the rest. A file
with a matching checksum has not been edited and may be replaced; any other file is replaced only
with ``force``.
"""

import contextlib
import enum
import hashlib
import html
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import reading

_SEAL = re.compile(
    r"\A(#![^\n]*\n|<!DOCTYPE html>[^\n]*\n)?"
    r"(?:# |<!-- )Made by: [^\n]*\n(?:# |<!-- )Checksum: ([0-9a-f]{16}); [^\n]*\n"
)
_SHEBANG = re.compile(r"\A#!/[^\n]*\n")
#: The first line of an HTML page, which also declares its encoding: browsers read only the first
#: 1024 bytes for it, and a command may be longer. So the seal comes after it.
_DOCTYPE = re.compile(r"\A<!DOCTYPE html>[^\n]*\n")
_HINT = "an edited file is not replaced without --force"


class FileState(enum.StrEnum):
    """The state of a file on disk, compared with the text to write."""

    NEW = "new"
    SAME = "same"
    CHANGED = "changed"
    #: Not generated, or edited since.
    EDITED = "edited"


def seal(text: str, command: str) -> str:
    """Return the text with a seal as ``#`` comments before it.

    In a script and in an HTML page the seal follows the first line, in the latter as HTML comments.

    :param command: the command that made the text
    """
    # A name in the command may have any characters, but the seal must be one line of UTF-8.
    line = " ".join(command.encode(errors="replace").decode().split())
    page = _DOCTYPE.match(text)
    head = page or _SHEBANG.match(text)
    first, rest = (head[0], text[head.end() :]) if head else ("", text)
    start, end = ("<!-- ", " -->") if page else ("# ", "")
    line = html.escape(line, quote=False) if page else line
    made, checksum = f"Made by: {line}", f"Checksum: {_checksum(text)}; {_HINT}"
    return f"{first}{start}{made}{end}\n{start}{checksum}{end}\n{rest}"


def file_state(path: Path, text: str) -> FileState:
    """Return the state of a file compared with ``text``, apart from the command in the seal.

    :raises UserError: if the file cannot be read
    """
    try:
        if path.exists() and not path.is_file():
            # Reading a pipe would block.
            raise UserError(f"{path}: not a regular file; give another path")
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            content = file.read(reading.MAX_BYTES_OF_LISTS)
            if file.read(1):
                # No file that was generated is so large.
                return FileState.EDITED
    except FileNotFoundError:
        return FileState.NEW
    except NotADirectoryError:
        raise UserError(f"{path}: a parent of it is not a directory; give another path") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None
    mark, body = _SEAL.match(content), _unsealed(content)
    if body == _unsealed(text):
        return FileState.SAME
    return FileState.CHANGED if mark and mark[2] == _checksum(body) else FileState.EDITED


def check_place(path: Path) -> None:
    """Check that one file can be written, before its content is made, which may take long.

    Its directory must exist: a directory with a misspelt name would be made silently.

    :raises UserError: if it cannot
    """
    parent = path.parent
    if not parent.is_dir():
        raise UserError(f"{path}: there is no directory {parent}; create it, or name another file")
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: not a regular file; give another path")
    # A file is written beside the old one, and takes its place.
    if not os.access(Path(os.path.realpath(path)).parent, os.W_OK | os.X_OK):
        raise UserError(f"{path}: directory {parent} may not be written; name another file")


def check_files(files: Mapping[Path, str], force: bool = False) -> dict[Path, FileState]:
    """Return the states of files; raise if one must not be replaced.

    The texts may be empty if they take long to make: then `FileState.SAME` is not reliable.

    :raises UserError: if one was edited (without ``force``) or cannot be read
    """
    states = {path: file_state(path, text) for path, text in files.items()}
    edited = [str(path) for path, one in states.items() if one is FileState.EDITED]
    if edited and not force:
        raise UserError(
            f"{', '.join(edited)}: edited since it was generated, or not generated at all; nothing "
            "was written; compare and add --force to replace it"
        )
    return states


def write_all(files: Mapping[Path, str], force: bool = False) -> dict[Path, FileState]:
    """Write files, each atomically; all are checked before the first is written.

    :returns: the state of each before; files in the state `FileState.SAME` are not written
    :raises UserError: if one was edited (without ``force``) or cannot be written; in the first case
        nothing has been written
    """
    states = check_files(files, force)
    for path, text in files.items():
        if states[path] is not FileState.SAME:
            _write(path, text)
    return states


def _write(path: Path, text: str) -> None:
    temporary = None
    try:
        # Keep a symbolic link, and replace the file to which it points.
        path = Path(os.path.realpath(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        old = path.stat() if path.exists() else None
        mode = old.st_mode & 0o777 if old else 0o666 & ~_umask()
        if _SHEBANG.match(text):
            # A script: make it executable for everyone who may read it.
            mode |= (mode & 0o444) >> 2
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            if old:
                # Services read their files by group (root:nova); only root can set the owner.
                with contextlib.suppress(OSError):
                    os.fchown(handle, old.st_uid, old.st_gid)
            os.fchmod(handle, mode)
            os.fsync(handle)
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}; it was not written") from None
    finally:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def _unsealed(text: str) -> str:
    return _SEAL.sub(lambda mark: mark[1] or "", text)


def _umask() -> int:
    # It cannot be read without setting it; no other thread writes files here.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
