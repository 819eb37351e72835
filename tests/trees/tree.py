# SPDX-License-Identifier: Apache-2.0
"""Write files, directories and relative links below a root directory."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path


class Tree:
    """Writes files below ``root``; paths are relative to it and have no leading slash."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self._base = os.fspath(self.root)
        self._directories: set[str] = set()

    def directory(self, path: str) -> None:
        """Create a directory and its parents."""
        if path in self._directories:
            return
        above = path.rpartition("/")[0]
        if above:
            self.directory(above)
            with contextlib.suppress(FileExistsError):
                os.mkdir(f"{self._base}/{path}")
        else:
            os.makedirs(f"{self._base}/{path}", exist_ok=True)
        self._directories.add(path)

    def file(self, path: str, content: str | bytes, mode: int = 0o644) -> None:
        """Write a file; ``content`` must include the newline that ends most sysfs values."""
        directory, _, name = path.rpartition("/")
        self._write(directory, {name: content}, mode)

    def files(self, directory: str, contents: dict[str, str], mode: int = 0o644) -> None:
        """Write several files, and end each with a newline."""
        self._write(directory, {name: f"{text}\n" for name, text in contents.items()}, mode)

    def _write(self, directory: str, contents: Mapping[str, str | bytes], mode: int) -> None:
        self.directory(directory)
        # Relative to the open directory: resolving the long paths of sysfs takes most of the time.
        folder = os.open(f"{self._base}/{directory}", os.O_RDONLY | os.O_DIRECTORY)
        try:
            for name, content in contents.items():
                data = content.encode() if isinstance(content, str) else content
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
                handle = os.open(name, flags, mode, dir_fd=folder)
                try:
                    os.write(handle, data)
                finally:
                    os.close(handle)
        finally:
            os.close(folder)

    def link(self, path: str, target: str) -> None:
        """Create a relative symbolic link, as in sysfs.

        :param target: also relative to the root directory
        """
        above = path.rpartition("/")[0]
        self.directory(above)
        os.symlink(os.path.relpath(target, above), f"{self._base}/{path}")
