# SPDX-License-Identifier: Apache-2.0
"""Cache slow builds under .cache/, by a hash of their inputs."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: The number of builds of a kind to keep: another run may still use the previous one.
KEPT = 2


def key(inputs: Iterable[str | bytes | Path]) -> str:
    """Return a short hash of texts and files, and of all files in folders."""
    digest = hashlib.sha256()
    for item in inputs:
        if isinstance(item, Path):
            for path in sorted(_files(item)):
                digest.update(f"{path.relative_to(ROOT)} {path.stat().st_mode:o} ".encode())
                digest.update(path.read_bytes())
        else:
            digest.update(item if isinstance(item, bytes) else item.encode())
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def built(cache: Path, kind: str, build_key: str, build: Callable[[Path], None]) -> Path:
    """Return the folder that ``build`` fills, built once for each key.

    A mark is written last, so an interrupted build has none and is repeated. Only one process
    builds at a time; others wait and use the result.
    """
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"{kind}-{build_key}"
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
    # Remove the mark first: a partly removed folder must not count as complete.
    (folder / "complete").unlink(missing_ok=True)
    if folder.exists():
        shutil.rmtree(folder)


def _files(path: Path) -> Iterable[Path]:
    if path.is_file():
        return [path]
    return (file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
