# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu device list``: GPUs of a cloud, and who has them."""

import argparse
import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cliff.lister import Lister

from nova_gpu_passthrough.cli.cloud import CloudCommand
from nova_gpu_passthrough.cli.columns import Maybe, Path, Words

if TYPE_CHECKING:
    from nova_gpu_passthrough.cloud.view.model import CloudView, Device, Server

_COLUMNS = (
    "Host",
    "Address",
    "Model",
    "State",
    "Server",
    "Server ID",
    "Project",
    "NUMA Node",
    "Link Group",
    "Switch",
    "Provider",
    "Note",
)
_LONG = ("Resource Class", "Total", "Free", "Card", "Traits")
#: Values of DeviceState, as words of a command line.
_STATES = ("free", "in-use", "reserved", "stuck", "missing")


class List(CloudCommand, Lister):
    """List GPUs, their state, and the servers that have them.

    free; in-use: by a server on its host, or on the way; reserved: by hand, or not yet cleaned
    after its last server; stuck: allocated to a server that is not there; missing: in the host's
    inventory and not in Placement. The column Note says why, and how to fix it. Switches, missing
    GPUs and partitions of link groups take --fleet.

    Needs the role admin in a project.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Options of the command."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        patterns = {
            "--host": ("HOST", "only those of this host (or pattern, such as 'gpu0*')"),
            "--model": ("MODEL", "only GPUs of this model (or pattern)"),
            "--server": ("SERVER", "only those that this server has (name, pattern or id)"),
        }
        for option, (metavar, text) in patterns.items():
            parser.add_argument(
                option, metavar=metavar, action="append", help=f"{text}; may be repeated"
            )
        parser.add_argument(
            "--state",
            choices=_STATES,
            action="append",
            help="only those in this state; may be repeated",
        )
        parser.add_argument(
            "--all",
            action="store_true",
            help="list other PCI devices in Placement, too, such as companions of GPUs and NICs",
        )
        parser.add_argument(
            "--long", action="store_true", help=f"list also: {', '.join(_LONG).lower()}"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Any]]:
        """Read the cloud and list its devices."""
        view = self.view(parsed_args)
        self.tell(view.notes)
        servers = _servers(view)
        columns = _COLUMNS + (_LONG if parsed_args.long else ())
        return columns, [
            _row(device, servers)[: len(columns)]
            for host in view.hosts
            for device in (host.devices if parsed_args.all else host.gpus)
            if _is_wanted(device, servers, parsed_args)
        ]


def _servers(view: "CloudView") -> Mapping[str, "Server"]:
    found = {server.id: server for server in view.homeless}
    return found | {server.id: server for host in view.hosts for server in host.servers}


def _is_wanted(
    device: "Device", servers: Mapping[str, "Server"], options: argparse.Namespace
) -> bool:
    if options.state and device.state.replace(" ", "-") not in options.state:
        return False
    holders = [*device.consumers, *(s.name for s in _holders(device, servers))]
    return (
        _matches([device.host], options.host)
        and _matches([device.model or ""], options.model)
        and _matches(holders, options.server)
    )


def _matches(names: Iterable[str], patterns: Sequence[str] | None) -> bool:
    """Whether one of the names matches one of the patterns, if there are any; case is no matter."""
    if not patterns:
        return True
    return any(
        fnmatch.fnmatchcase(name.lower(), pattern.lower()) for name in names for pattern in patterns
    )


def _holders(device: "Device", servers: Mapping[str, "Server"]) -> list["Server"]:
    return [servers[consumer] for consumer in device.consumers if consumer in servers]


def _row(device: "Device", servers: Mapping[str, "Server"]) -> tuple[Any, ...]:
    holders = _holders(device, servers)
    return (
        device.host,
        device.address,
        Maybe(device.model),
        str(device.state),
        Words([server.name for server in holders]),
        Words(device.consumers),
        Words(dict.fromkeys(server.project_id for server in holders)),
        Maybe(device.numa_node),
        Path(device.link_group),
        Maybe(device.switch),
        Maybe(device.provider),
        device.note,
        device.resource_class,
        device.resource.total,
        device.resource.free,
        Maybe(device.card),
        Words(sorted(device.traits)),
    )
