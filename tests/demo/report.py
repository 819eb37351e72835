# SPDX-License-Identifier: Apache-2.0
"""The tables of the demo."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from tests.demo import scenario

Placing = Mapping[str, Any]
_HEAD = ("host", "GPUs", "NUMA", "vCPUs", "link group")
_WIDTHS = (6, 23, 5, 5, 10)


def link_group(gpus: Sequence[Mapping[str, Any]]) -> str:
    """Return the smallest link group or partition with all the GPUs; "split" if there is none."""
    if not gpus or any(gpu["link_group"] is None for gpu in gpus):
        return "-"
    return os.path.commonpath([gpu["link_group"] for gpu in gpus]) or "split"


def _nodes(nodes: Sequence[int]) -> str:
    return "+".join(str(node) for node in sorted(set(nodes))) or "-"


def _row_cells(placing: Placing) -> list[list[str]]:
    """Return one line of table cells per four GPUs."""
    if "error" in placing:
        return [["none", placing["error"][: sum(_WIDTHS[1:]) + 3], "", "", ""]]
    gpus = placing["gpus"]
    # Domain and function are the same for all.
    names = [gpu["address"][5:-2] for gpu in gpus]
    lines = [" ".join(names[i : i + 4]) for i in range(0, len(names), 4)] or ["-"]
    first = [
        placing["host"],
        lines[0],
        _nodes([gpu["numa_node"] for gpu in gpus]),
        _nodes(placing["guest_nodes"]),
        link_group(gpus),
    ]
    return [first, *(["", line, "", "", ""] for line in lines[1:])]


def _format(cells: Sequence[str]) -> str:
    if cells[0] == "none":
        return f"{cells[0]:{_WIDTHS[0]}} {cells[1]}".ljust(sum(_WIDTHS) + len(_WIDTHS) - 1)
    return " ".join(f"{cell:{width}}" for cell, width in zip(cells, _WIDTHS, strict=True))


def header() -> str:
    """Return the header of the table of servers."""
    width = len(_format(_HEAD))
    return (
        f"{'':10} | {'with nova_gpu_passthrough':{width}} | Nova alone\n"
        f"{'server':10} | {_format(_HEAD)} | {_format(_HEAD)}".rstrip()
        + f"\n{'-' * 10}-+-{'-' * width}-+-{'-' * width}"
    )


def row(name: str, ours: Placing, theirs: Placing) -> str:
    """Return the row of one server, placed by both clouds."""
    left, right = _row_cells(ours), _row_cells(theirs)
    empty = [""] * len(_HEAD)
    return "\n".join(
        f"{name if line == 0 else '':10} | "
        f"{_format(left[line] if line < len(left) else empty)} | "
        f"{_format(right[line] if line < len(right) else empty)}".rstrip()
        for line in range(max(len(left), len(right)))
    )


def summary(servers: Sequence[Placing], free: Mapping[str, int]) -> dict[str, int]:
    """Count the disadvantages of the placements in one cloud."""
    placed = [server for server in servers if "error" not in server]
    multi = [server for server in placed if len(server["gpus"]) > 1]
    refused = 0
    for server, flavor in zip(servers, scenario.SEQUENCE, strict=True):
        if "error" in server:
            refused += max(scenario.FLAVORS[flavor].aliases.values(), default=0)
    return {
        "servers refused": len(servers) - len(placed),
        "GPUs requested and refused": refused,
        "GPUs stranded: refused, but free at the end": min(refused, sum(free.values())),
        "servers whose GPUs are needlessly split over NUMA nodes": sum(
            len({gpu["numa_node"] for gpu in server["gpus"]}) > 1 and len(server["gpus"]) <= 4
            for server in multi
        ),
        "servers with GPUs on another NUMA node than vCPUs and RAM": sum(
            bool(server["guest_nodes"])
            and not {gpu["numa_node"] for gpu in server["gpus"]} <= set(server["guest_nodes"])
            for server in placed
        ),
        "servers whose GPUs are split over NVSwitch partitions": sum(_is_split(s) for s in multi),
        "servers without GPUs on GPU hosts": sum(
            not server["gpus"] and not server["host"].startswith("cpu") for server in placed
        ),
    }


def _is_split(server: Placing) -> bool:
    """Check whether a smaller partition can hold the GPUs: nvs0 holds 8, q0 holds 4, p0 holds 2."""
    depth = {2: 3, 4: 2, 8: 1}.get(len(server["gpus"]), 0)
    group = link_group(server["gpus"])
    return group != "-" and len(group.split("/")) < depth


def final(ours: Mapping[str, int], theirs: Mapping[str, int]) -> str:
    """Return the final table."""
    width = max(map(len, ours))
    lines = [f"{'':{width}} | ours | Nova alone", f"{'-' * width}-+------+-----------"]
    lines += [f"{name:{width}} | {count:4} | {theirs[name]:10}" for name, count in ours.items()]
    return "\n".join(lines)
