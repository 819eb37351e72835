# SPDX-License-Identifier: Apache-2.0
"""What takes long to build is kept under .cache/gpu-host/, by a hash of what it was made from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests import cache
from tests.cache import ROOT, key

__all__ = ["CACHE", "ROOT", "built", "key"]

CACHE = ROOT / ".cache" / "gpu-host"


def built(kind: str, wanted: str, build: Callable[[Path], None]) -> Path:
    """Return the folder that ``build`` fills, built once for each key ``wanted``."""
    return cache.built(CACHE, kind, wanted, build)
