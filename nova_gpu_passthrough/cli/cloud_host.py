# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu host list``: the GPU hosts of a cloud."""

import argparse
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from cliff.lister import Lister

from nova_gpu_passthrough.cli.cloud import CloudCommand
from nova_gpu_passthrough.cli.columns import ByKey, Maybe, Words

if TYPE_CHECKING:
    from nova_gpu_passthrough.cloud.view.model import Host

_COLUMNS = (
    "Host",
    "Group",
    "State",
    "Model",
    "GPUs",
    "Free",
    "In Use",
    "Reserved",
    "Stuck",
    "Missing",
    "Free by NUMA Node",
    "VCPU Free",
    "PCPU Free",
    "RAM Free MiB",
    "Availability Zone",
)
_LONG = ("Servers", "Aggregates", "Disabled Reason", "Provider")


class List(CloudCommand, Lister):
    """List the hosts that have GPUs, with what is free.

    All hosts with GPUs in Placement, and those that the fleet file names. Stuck GPUs are allocated
    to nobody who could use them, missing ones are in the host's inventory only: device list tells
    why. Groups, missing GPUs and exact NUMA nodes take --fleet.

    Needs the role admin in a project.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Options of the command."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "--long", action="store_true", help=f"list also: {', '.join(_LONG).lower()}"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Any]]:
        """Read the cloud and list its hosts."""
        view = self.view(parsed_args)
        self.tell(view.notes)
        columns = _COLUMNS + (_LONG if parsed_args.long else ())
        return columns, [_row(host)[: len(columns)] for host in view.hosts]


def _row(host: "Host") -> tuple[Any, ...]:
    from nova_gpu_passthrough.cloud.view import model

    gpus = model.count(host.gpus)
    left = (host.resources.get(name) for name in ("VCPU", "PCPU", "MEMORY_MB"))
    return (
        host.name,
        Maybe(host.group),
        _state(host),
        Words(sorted({gpu.model for gpu in host.gpus if gpu.model})),
        gpus.total,
        gpus.free,
        gpus.in_use,
        gpus.reserved,
        gpus.stuck,
        gpus.missing,
        ByKey(model.free_by_node(host.gpus)),
        *(Maybe(resource.free if resource else None) for resource in left),
        Maybe(host.availability_zone),
        len(host.servers),
        Words(sorted(host.aggregates)),
        host.disabled_reason,
        Maybe(host.provider),
    )


def _state(host: "Host") -> str:
    if not host.known:
        return "absent"
    words = ([] if host.up else ["down"]) + ([] if host.enabled else ["disabled"])
    return ", ".join(words) or "up"
