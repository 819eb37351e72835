# SPDX-License-Identifier: Apache-2.0
"""Parse saved output of rocm-smi --showtopo and --showbus and amd-smi topology (text or --json).

Formats: ROCm/amdsmi, CHANGELOG.md and amdsmi_cli/amdsmi_commands.py (``topology``); rocm-smi's as
in ROCm/ROCm issue 1503.
"""

import re
from typing import Any

from nova_gpu_passthrough.host.links.link_matrix import LinkMatrix
from nova_gpu_passthrough.host.links.tool_output import ADDRESS, ToolOutput, address, plain_lines

VENDOR = "1002"

_ROCM_TABLE = re.compile(r"=*\s*Link Type between two GPUs\s*=*\s*$")
_AMD_TABLE = re.compile(r"\s*LINK TYPE TABLE:?\s*$")
_NAME = re.compile(rf"GPU\d{{1,4}}|{ADDRESS}")
_BUS = re.compile(rf"\s*GPU\[(\d{{1,4}})\]\s*:\s*PCI Bus:\s*({ADDRESS})\s*$")


def parse(text: str, source: str) -> ToolOutput | None:
    """Return the links and addresses in a text; None if it is no output of these tools.

    :raises UserError: if a table is cut off or contradicts itself
    """
    matrix: LinkMatrix | None = None
    in_table = False
    addresses: dict[int, str] = {}
    for number, line in enumerate(plain_lines(text), 1):
        words = line.split()
        if match := _BUS.match(line):
            addresses[int(match[1])] = address(match[2])
        elif _ROCM_TABLE.match(line) or _AMD_TABLE.match(line):
            in_table, matrix = True, None
            self_cell = "0" if _ROCM_TABLE.match(line) else "SELF"
        elif in_table and words and all(_NAME.fullmatch(word) for word in words) and not matrix:
            matrix = LinkMatrix(source, number, words, self_cell, _parse_cell)
        elif in_table and words and matrix and _NAME.fullmatch(words[0]):
            matrix.add(number, words[0], words[1:])
        elif in_table and matrix:
            in_table = False
    if matrix is None:
        return ToolOutput(source, VENDOR, addresses=addresses) if addresses else None
    names = list(matrix.columns)
    if not names[0].startswith("GPU"):
        addresses = {number: address(name) for number, name in enumerate(names)}
    indexes = [int(name[3:]) if name.startswith("GPU") else i for i, name in enumerate(names)]
    joined = {
        (min(pair), max(pair)): links
        for (a, b), links in matrix.pairs().items()
        for pair in [(indexes[a], indexes[b])]
    }
    return ToolOutput(source, VENDOR, joined, frozenset(indexes), addresses)


def parse_json(document: Any, source: str) -> ToolOutput | None:
    """Return the links in ``amd-smi topology --json``; None if the document is something else."""
    if not isinstance(document, list) or not document:
        return None
    try:
        names = [_address(entry) for entry in document]
        links = {
            (_address(entry), _address(link)): str(link["link_type"])
            for entry in document
            for link in entry["links"]
        }
    except (KeyError, TypeError):
        return None
    matrix = LinkMatrix(source, 1, names, "SELF", _parse_cell)
    for name in names:
        cells = [links[name, other] for other in names if (name, other) in links]
        matrix.add(1, name, cells)
    return ToolOutput(
        source, VENDOR, matrix.pairs(), frozenset(range(len(names))), dict(enumerate(names))
    )


def _address(entry: Any) -> str:
    bdf = entry["bdf"]
    if not isinstance(bdf, str) or not re.fullmatch(ADDRESS, bdf):
        raise TypeError(bdf)
    return address(bdf)


def _parse_cell(cell: str) -> int:
    """Return 1 for xGMI, since the tools do not report the number of links, and 0 for others."""
    if cell in ("XGMI", "PCIE", "N/A", "UNKNOWN"):
        return int(cell == "XGMI")
    raise ValueError(cell)
