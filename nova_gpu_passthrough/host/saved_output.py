# SPDX-License-Identifier: Apache-2.0
"""Read output of other tools that the operator saved to files."""

import json
from pathlib import Path

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import reading
from nova_gpu_passthrough.host.links import amd_smi, nvidia_smi, partitions
from nova_gpu_passthrough.host.links.tool_output import ToolOutput

_EXPECTED = (
    "nvidia-smi topo -m, nvlink -s, nvlink -R, -q or --query-gpu=index,pci.bus_id --format=csv, "
    "fmpm -l, rocm-smi --showtopo, or amd-smi topology"
)


def read_links(path: Path) -> ToolOutput:
    """Read saved output about links between GPUs, recognised by its content.

    :raises UserError: if the file cannot be read, is not the output of a known tool, or is cut off
    """
    data = reading.read_bytes(path)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}:{line}: not valid UTF-8; expected the output of {_EXPECTED}"
        ) from None
    return parse_links(text, str(path))


def parse_links(text: str, source: str) -> ToolOutput:
    """Return the links between GPUs in a saved output.

    :param source: the file's name, for messages
    :raises UserError: if the text is not the output of a known tool, or is cut off
    """
    output = _parse_json(text, source)
    if output is None:
        # AMD's tables look like a matrix of nvidia-smi, but have a heading.
        output = amd_smi.parse(text, source) or nvidia_smi.parse(text, source)
    if output is None:
        raise UserError(f"{source}:1: not recognised; expected the output of {_EXPECTED}")
    return output


def _parse_json(text: str, source: str) -> ToolOutput | None:
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    fabric = partitions.parse_fabric_manager(document, source)
    return fabric or amd_smi.parse_json(document, source)
