# SPDX-License-Identifier: Apache-2.0
"""Recognises saved outputs by their content."""

import json
from pathlib import Path

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.host import saved
from nova_gpu_passthrough.host.links import amd_smi, fabric_manager, nvidia_smi
from nova_gpu_passthrough.host.links.tool_output import LinkText

#: nvidia-smi -q of 16 GPUs has 200 KiB.
MAX_BYTES = 8 * 2**20
_EXPECTED = (
    "nvidia-smi topo -m, nvlink -s, nvlink -R, -q or --query-gpu=index,pci.bus_id --format=csv, "
    "fmpm -l, rocm-smi --showtopo, or amd-smi topology"
)


def read(path: Path) -> LinkText:
    """Read a saved output.

    :raises UserError: if the file cannot be read, is none of these outputs, or is cut off
    """
    data = saved.read_bytes(path, MAX_BYTES)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}:{line}: no text in UTF-8; expected the output of {_EXPECTED}"
        ) from (None)
    return parse(text, str(path))


def parse(text: str, source: str) -> LinkText:
    """What a saved output says.

    :param source: the file's name, for messages
    :raises UserError: if it is none of these outputs, or is cut off
    """
    found = _from_json(text, source)
    if found is None:
        # AMD's tables look like a matrix of nvidia-smi, but have a heading.
        found = amd_smi.parse(text, source) or nvidia_smi.parse(text, source)
    if found is None:
        raise UserError(f"{source}:1: not recognised; expected the output of {_EXPECTED}")
    return found


def _from_json(text: str, source: str) -> LinkText | None:
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return fabric_manager.from_json(document, source) or amd_smi.from_json(document, source)
