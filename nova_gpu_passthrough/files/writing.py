# SPDX-License-Identifier: Apache-2.0
"""Generated files: sealed, written atomically, never over somebody's edits.

The seal is the head of a generated file: which command made it, and a checksum of the rest. A file
whose checksum is still right has not been edited and may be replaced; any other file is only with
``force``.
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

_SEAL = re.compile(
    r"\A(#![^\n]*\n|<!DOCTYPE html>[^\n]*\n)?"
    r"(?:# |<!-- )Made by: [^\n]*\n(?:# |<!-- )Checksum: ([0-9a-f]{16}); [^\n]*\n"
)
_SHEBANG = re.compile(r"\A#!/[^\n]*\n")
#: A page's first line, which also has to tell its encoding: browsers look no further than 1024
#: bytes, and a command may be longer.
_DOCTYPE = re.compile(r"\A<!DOCTYPE html>[^\n]*\n")
_HINT = "an edited file is not replaced without --force"


class State(enum.StrEnum):
    """What a file on disk is to the text that is to be written."""

    NEW = "new"
    SAME = "same"
    CHANGED = "changed"
    #: Not ours, or edited since it was generated.
    EDITED = "edited"


def seal(text: str, command: str) -> str:
    """Put the head before a text whose comments begin with ``#``.

    In a script and in a page of HTML, whose comments are others, after the first line.

    :param command: the command that made it, on one line
    """
    # A name in the command may hold anything, the head of a file may not.
    line = " ".join(command.encode(errors="replace").decode().split())
    page = _DOCTYPE.match(text)
    head = page or _SHEBANG.match(text)
    first, rest = (head[0], text[head.end() :]) if head else ("", text)
    start, end = ("<!-- ", " -->") if page else ("# ", "")
    line = html.escape(line, quote=False) if page else line
    made, checksum = f"Made by: {line}", f"Checksum: {_checksum(text)}; {_HINT}"
    return f"{first}{start}{made}{end}\n{start}{checksum}{end}\n{rest}"


def state(path: Path, text: str) -> State:
    """What writing ``text`` to ``path`` would mean; the command in the seal does not count.

    :raises UserError: if the file cannot be read
    """
    try:
        if path.exists() and not path.is_file():
            # A pipe would be waited for.
            raise UserError(f"{path} is no regular file; name another")
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            found = file.read()
    except FileNotFoundError:
        return State.NEW
    except NotADirectoryError:
        raise UserError(f"{path}: a part of its path is no directory; name another") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None
    mark, body = _SEAL.match(found), _unsealed(found)
    if body == _unsealed(text):
        return State.SAME
    return State.CHANGED if mark and mark[2] == _checksum(body) else State.EDITED


def check(files: Mapping[Path, str], force: bool = False) -> dict[Path, State]:
    """What writing the files would mean; the texts may be empty where they take long to make.

    :raises UserError: if one was edited (without ``force``) or cannot be read
    """
    states = {path: state(path, text) for path, text in files.items()}
    edited = [str(path) for path, found in states.items() if found is State.EDITED]
    if edited and not force:
        raise UserError(
            f"{', '.join(edited)}: edited since it was generated, or not generated at all; "
            "nothing was written; compare and add --force to replace it"
        )
    return states


def write_all(files: Mapping[Path, str], force: bool = False) -> dict[Path, State]:
    """Write files, each atomically; all are checked before the first is written.

    :returns: what each was before; those that were the same are left as they are
    :raises UserError: if one was edited (without ``force``) or cannot be written; in the first case
        nothing has been written
    """
    states = check(files, force)
    for path, text in files.items():
        if states[path] is not State.SAME:
            _write(path, text)
    return states


def _write(path: Path, text: str) -> None:
    temporary = None
    try:
        # A link stays one: what it leads to is replaced.
        path = Path(os.path.realpath(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        old = path.stat() if path.exists() else None
        mode = old.st_mode & 0o777 if old else 0o666 & ~_umask()
        if _SHEBANG.match(text):
            # A script: whoever may read it may run it.
            mode |= (mode & 0o444) >> 2
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            if old:
                # Services read their files by group (root:nova); others than root cannot set it.
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
    # There is no way to ask without setting it; no other thread writes files here.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
