# SPDX-License-Identifier: Apache-2.0
"""A temporary directory for trees, in memory where that can be had.

A tree has thousands of files. ext4 does not reuse the inodes of files deleted in the last minutes
(``recently_deleted`` in fs/ext4/ialloc.c) and looks at each of them for every new file, so that
tests that write and delete trees become many times slower there with every run.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

_MEMORY = "/dev/shm"


@contextlib.contextmanager
def directory() -> Iterator[Path]:
    """An empty directory that goes away."""
    above = _MEMORY if os.access(_MEMORY, os.W_OK | os.X_OK) else None
    with tempfile.TemporaryDirectory(prefix="trees-", dir=above) as path:
        yield Path(path)
