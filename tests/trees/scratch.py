# SPDX-License-Identifier: Apache-2.0
"""A temporary directory for trees, in memory if possible.

A tree has thousands of files. ext4 does not reuse the inodes of files deleted in the last minutes
(``recently_deleted`` in fs/ext4/ialloc.c) and checks each of them for every new file, so that tests
which write and delete trees become much slower with every run.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

_MEMORY = "/dev/shm"


@contextlib.contextmanager
def directory() -> Iterator[Path]:
    """Create an empty directory and delete it at the end."""
    above = _MEMORY if os.access(_MEMORY, os.W_OK | os.X_OK) else None
    with tempfile.TemporaryDirectory(prefix="trees-", dir=above) as path:
        yield Path(path)
