# SPDX-License-Identifier: Apache-2.0
"""The fabric manager's list of partitions, as NVIDIA's client prints it (``fmpm -l``).

JSON with ``partitionInfo``, of which each has ``gpuInfo`` with ``physicalId`` and ``pciBusId``
(NVIDIA/Fabric-Manager-Client, fmpm.cpp; fmFabricPartitionList_t in the Fabric Manager User Guide).
"""

import re
from typing import Any

from nova_gpu_passthrough.host.links.nvidia_smi import VENDOR
from nova_gpu_passthrough.host.links.tool_output import ADDRESS, LinkText, address


def from_json(document: Any, source: str) -> LinkText | None:
    """Partitions and, as far as told, addresses; None if the document is something else."""
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
    return LinkText(source, VENDOR, modules=modules, partitions=tuple(partitions))
