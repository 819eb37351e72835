# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu gpu list``: the GPUs of a host."""

import argparse
from collections.abc import Iterable, Sequence
from typing import Any

from cliff.lister import Lister

from nova_gpu_passthrough.cli import audit_options
from nova_gpu_passthrough.cli.listing import ColouredColumn
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


class ListGpus(Lister):
    """List the GPUs of this host, with the verdict of the audit on each.

    The verdict is ready, ready after configuration, or unfit.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's options."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        audit_options.add_audit_options(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Any]]:
        """Audit the host and list its GPUs."""
        inventory = audit_options.run_audit(parsed_args)
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
                    ColouredColumn((inventory.verdicts or {}).get(gpu.address, "")),
                )
            )
        return _COLUMNS, rows
