# SPDX-License-Identifier: Apache-2.0
"""Kinds of hosts by the name of their board or GPU model: ``HGX-H100``, ``HGX-A100-SXM-80GB-4``."""

import re
from typing import NamedTuple

from nova_gpu_passthrough.catalog import boards, models

_USUAL_GPUS = 8


class BoardType(NamedTuple):
    """The GPU model and the number of GPUs of a host with one board."""

    model: str
    gpus: int

    def __str__(self) -> str:
        """Return the name by which `find` finds only this one."""
        return f"{self.model}-{self.gpus}"


def find(name: str) -> list[BoardType]:
    """Return the boards with this name; several if it is ambiguous, none if there is none.

    Boards with eight GPUs are preferred to others of the same model.
    """
    plain = re.sub(r"^(HGX|DGX)-", "", name, flags=re.IGNORECASE).lower()
    matching = _with_prefix(plain)
    counted = re.fullmatch(r"(.+)-([0-9]+)", plain)
    if not matching and counted:
        matching = [one for one in _with_prefix(counted[1]) if one.gpus == int(counted[2])]
    exact = [one for one in matching if one.model.lower() in (plain, counted and counted[1])]
    matching = exact or matching
    usual = [one for one in matching if one.gpus == _USUAL_GPUS]
    return usual or matching


def known() -> list[BoardType]:
    """Return all boards."""
    return _with_prefix("")


def _with_prefix(prefix: str) -> list[BoardType]:
    """Return the boards whose GPU model has a name with this prefix; an empty one: all boards."""
    matching: dict[BoardType, None] = {}
    for board in boards.boards():
        for product in sorted(board.products):
            model = models.lookup(*product.split(":"))
            if model and f"{model.name.lower()}-".startswith(f"{prefix}-" if prefix else ""):
                matching[BoardType(model.name, board.gpus)] = None
    return list(matching)
