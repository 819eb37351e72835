# SPDX-License-Identifier: Apache-2.0
"""Keep build results under .cache/gpu-host/, by a hash of their inputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests import cache
from tests.cache import ROOT, key

__all__ = ["CACHE", "ROOT", "built", "key"]

CACHE = ROOT / ".cache" / "gpu-host"


def built(kind: str, cache_key: str, build: Callable[[Path], None]) -> Path:
    """Return the folder that ``build`` fills, once for each key."""
    return cache.built(CACHE, kind, cache_key, build)
