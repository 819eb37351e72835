# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu gpu ...``: the GPUs of a host."""

import argparse
from collections.abc import Iterable, Sequence
from typing import Any

from cliff.lister import Lister

from nova_gpu_passthrough.cli import sources
from nova_gpu_passthrough.cli.columns import Coloured
from nova_gpu_passthrough.topology.tags import LINK_SEPARATOR

_COLUMNS = (
    "Address",
    "Model",
    "IDs",
    "NUMA Node",
    "IOMMU Group",
    "Driver",
    "Device Type",
    "Companions",
    "Switch",
    "Link Group",
    "Verdict",
)


class List(Lister):
    """List the GPUs of this host with the verdict of the audit: ready, unfit, or in between."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Options of the command."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        sources.add_arguments(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Any]]:
        """Audit and list."""
        inventory = sources.audit(parsed_args)
        rows = []
        for gpu in inventory.gpus:
            device = inventory.device(gpu)
            rows.append(
                (
                    gpu.address,
                    gpu.model,
                    device.ids,
                    device.numa_node,
                    device.iommu_group,
                    device.driver or "",
                    str(device.device_type),
                    " ".join(gpu.companions),
                    gpu.switch or "",
                    LINK_SEPARATOR.join(gpu.link_group),
                    Coloured((inventory.verdicts or {}).get(gpu.address, "")),
                )
            )
        return _COLUMNS, rows
