# SPDX-License-Identifier: Apache-2.0
"""Partitions inside a link group: read the fabric manager's list, and name partitions as a tree."""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeVar

from nova_gpu_passthrough.host.links.nvidia_smi import VENDOR
from nova_gpu_passthrough.host.links.tool_output import ADDRESS, ToolOutput, address

_T = TypeVar("_T")
#: Prefixes of names by the number of GPUs. b: board, q: four GPUs, p: a pair.
_PREFIXES = {8: "b", 4: "q", 2: "p"}


def parse_fabric_manager(document: Any, source: str) -> ToolOutput | None:
    """Return the partitions that NVIDIA's fabric manager client prints (``fmpm -l``).

    The JSON has ``partitionInfo``, whose items have ``gpuInfo`` with ``physicalId`` and
    ``pciBusId`` (NVIDIA/Fabric-Manager-Client, fmpm.cpp; fmFabricPartitionList_t in the Fabric
    Manager User Guide). Some versions leave the addresses empty. None if the document is something
    else.
    """
    try:
        infos = [partition["gpuInfo"] for partition in document["partitionInfo"]]
        partitions = [frozenset(int(gpu["physicalId"]) for gpu in gpus) for gpus in infos]
        modules = {
            address(gpu["pciBusId"]): int(gpu["physicalId"])
            for gpus in infos
            for gpu in gpus
            if re.fullmatch(ADDRESS, str(gpu.get("pciBusId")))
        }
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None
    return ToolOutput(source, VENDOR, modules=modules, partitions=tuple(partitions))


def name_partitions(
    members: Collection[_T], blocks: Iterable[frozenset[_T]]
) -> Mapping[_T, tuple[str, ...]]:
    """Return the names of the partitions that contain each member, outermost first.

    A fabric manager may offer blocks that overlap (on two boards: 1 to 8, and 1 to 4 with 9 to
    12). The path of a link group is a tree, so the first of overlapping blocks of one size is
    used.

    :param members: the members of the link group that the host has
    :param blocks: partitions; those with one member or with all members are ignored
    """
    paths: dict[_T, tuple[str, ...]] = dict.fromkeys(members, ())
    useful = [
        block
        for block in dict.fromkeys(blocks)
        if len(block) > 1 and block & paths.keys() and not paths.keys() <= block
    ]
    for size in sorted({len(block) for block in useful}, reverse=True):
        parents = dict(paths)
        used: set[_T] = set()
        numbers: dict[tuple[str, ...], int] = {}
        for block in useful:
            inside = block & paths.keys()
            above = {parents[member] for member in inside}
            if len(block) != size or len(above) != 1 or inside & used:
                continue
            parent = above.pop()
            number = numbers.setdefault(parent, 0)
            numbers[parent] += 1
            used |= inside
            for member in inside:
                paths[member] = (*parent, f"{_PREFIXES.get(size, f'g{size}-')}{number}")
    return paths
