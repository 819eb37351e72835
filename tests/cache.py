# SPDX-License-Identifier: Apache-2.0
"""What takes long to build is kept under .cache/, by a hash of what it was made from."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: How many builds of a kind are kept: another run may still use the one before.
KEPT = 2


def key(parts: Iterable[str | bytes | Path]) -> str:
    """Return a short hash of texts and of files; a folder counts with all files in it."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            for path in sorted(_files(part)):
                digest.update(f"{path.relative_to(ROOT)} {path.stat().st_mode:o} ".encode())
                digest.update(path.read_bytes())
        else:
            digest.update(part if isinstance(part, bytes) else part.encode())
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def built(cache: Path, kind: str, wanted: str, build: Callable[[Path], None]) -> Path:
    """Return the folder that ``build`` fills, built once for each key ``wanted``.

    The mark comes last: what was interrupted has none and is built anew. One build at a time;
    who comes second waits and finds it done.
    """
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"{kind}-{wanted}"
    mark = folder / "complete"
    with (cache / f"{kind}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not mark.is_file():
            _remove(folder)
            folder.mkdir()
            build(folder)
            mark.touch()
            _forget(cache, kind)
    return folder


def _forget(cache: Path, kind: str) -> None:
    folders = [path for path in cache.glob(f"{kind}-*") if path.is_dir()]
    folders.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for folder in folders[KEPT:]:
        _remove(folder)


def _remove(folder: Path) -> None:
    # The mark goes first: what is half removed must not pass for complete.
    (folder / "complete").unlink(missing_ok=True)
    if folder.exists():
        shutil.rmtree(folder)


def _files(path: Path) -> Iterable[Path]:
    if path.is_file():
        return [path]
    return (
        found for found in path.rglob("*") if found.is_file() and "__pycache__" not in found.parts
    )
