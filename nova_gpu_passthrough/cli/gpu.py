# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu gpu list``: the GPUs of a host."""

import argparse
from collections.abc import Iterable, Sequence
from typing import Any

from nova_gpu_passthrough.cli import audit_options
from nova_gpu_passthrough.cli.gpu_command import CommandGroup
from nova_gpu_passthrough.cli.listing import (
    ColouredColumn,
    ListColumn,
    ListCommand,
    OptionalColumn,
    PathColumn,
)
from nova_gpu_passthrough.cli.table import Layout

_COLUMNS = ("Address", "Model", "NUMA Node", "Verdict")
_LONG = (
    "IDs",
    "IOMMU Group",
    "Driver",
    "Device Type",
    "Companions",
    "Switch",
    "Link Group",
    "Serial",
)


class ListGpus(ListCommand):
    """List the GPUs of this host, with the verdict of the audit on each.

    The verdict is ready, ready after configuration, or unfit.
    """

    examples = """
        nova-gpu gpu list
          the GPUs of this machine
        nova-gpu gpu list --inventory gpu01.yaml --long
          those of an inventory, with all that is known of them
    """
    group = CommandGroup.HOST
    long_columns = _LONG
    layout = Layout(heading=("Address",))
    nothing = "This machine has no GPUs; nova-gpu device list lists those of a cloud"

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
                    OptionalColumn(device.numa_node),
                    ColouredColumn((inventory.verdicts or {}).get(gpu.address, "")),
                    device.ids,
                    OptionalColumn(device.iommu_group),
                    OptionalColumn(device.driver),
                    str(device.device_type),
                    ListColumn(gpu.companions),
                    OptionalColumn(gpu.switch),
                    PathColumn(gpu.link_group),
                    OptionalColumn(device.serial),
                )
            )
        return _COLUMNS + _LONG, rows
