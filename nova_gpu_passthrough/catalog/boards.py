# SPDX-License-Identifier: Apache-2.0
"""GPU boards: which GPUs of a host are linked, recognised by PCI ids and counts alone."""

import enum
import functools
from collections.abc import Iterable
from importlib import resources
from typing import Any, NamedTuple

import yaml


class Fabric(enum.StrEnum):
    """The type of the links between GPUs."""

    NVSWITCH = "nvswitch"
    #: Directly between GPUs, without a switch.
    NVLINK = "nvlink"
    XGMI = "xgmi"


class Board(NamedTuple):
    """A board whose GPUs are all linked to each other."""

    name: str
    #: ``vendor:product`` of its GPUs.
    products: frozenset[str]
    #: How many GPUs.
    gpus: int
    joined_by: Fabric
    #: ``vendor:product`` of its NVSwitches, if these are PCI functions of the host.
    switch_products: frozenset[str]
    #: How many NVSwitches.
    switches: int
    #: The PCI functions that control NVSwitches which are not PCI functions.
    control: str | None
    #: Partitions of the fabric manager with more than one GPU, by module id.
    partitions: tuple[frozenset[int], ...]

    def matches(self, gpus: int, switches: int) -> bool:
        """Check whether a host with these numbers of GPUs and NVSwitches can have this board.

        NVSwitches identify the board, even if a GPU or a switch is missing. Without them, only the
        exact number of GPUs does.
        """
        if self.switches:
            return 0 < gpus <= self.gpus and 0 < switches <= self.switches
        return gpus == self.gpus and not switches


@functools.cache
def _document() -> Any:
    text = resources.files(__package__).joinpath("boards.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)


def _ids(entry: Any) -> frozenset[str]:
    return frozenset(f"{entry['vendor']}:{product}" for product in entry["products"])


@functools.cache
def boards() -> tuple[Board, ...]:
    """Return all boards, those with the fewest GPUs first."""
    known = [
        Board(
            entry["board"],
            _ids(entry),
            entry["gpus"],
            Fabric(entry["joined_by"]),
            _ids({"vendor": entry["vendor"], **entry["switches"]})
            if "switches" in entry
            else frozenset(),
            entry.get("switches", {}).get("count", 0),
            entry.get("control"),
            tuple(frozenset(members) for members in entry.get("partitions", ())),
        )
        for entry in _document()["boards"]
    ]
    return tuple(sorted(known, key=lambda board: board.gpus))


@functools.cache
def linkable() -> frozenset[str]:
    """Return the ``vendor:product`` of GPUs that can have links, on a board or by a bridge."""
    ids = frozenset(product for board in boards() for product in board.products)
    return ids.union(*(_ids(entry) for entry in _document()["linkable"]))


def recognise(gpus: Iterable[str], nvswitches: Iterable[str]) -> tuple[Board, ...]:
    """Return the boards of a host; no two of them share a GPU model.

    :param gpus: ``vendor:product`` of each GPU of the host
    :param nvswitches: ``vendor:product`` of each NVSwitch of the host
    """
    gpu_ids, switch_ids = list(gpus), list(nvswitches)
    recognised: list[Board] = []
    for board in boards():
        count = sum(product in board.products for product in gpu_ids)
        # Any NVSwitch on the host excludes boards without NVSwitches.
        switches = sum(
            not board.switch_products or product in board.switch_products for product in switch_ids
        )
        if board.joined_by is Fabric.XGMI:
            switches = 0
        if board.matches(count, switches) and not any(
            b.products & board.products for b in recognised
        ):
            recognised.append(board)
    return tuple(recognised)
