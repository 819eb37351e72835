# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu device list``: the GPUs of a cloud, and the servers that have them."""

import argparse
import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nova_gpu_passthrough.cli.cloud_command import CloudCommand
from nova_gpu_passthrough.cli.listing import ListColumn, ListCommand, OptionalColumn, PathColumn
from nova_gpu_passthrough.cli.table import Layout

if TYPE_CHECKING:
    from nova_gpu_passthrough.cloud.view.model import CloudDevice, CloudView, Server

_COLUMNS = ("Host", "Address", "Model", "State", "Server", "Note")
_LONG = (
    "Server ID",
    "Project",
    "NUMA Node",
    "Link Group",
    "Switch",
    "Provider",
    "Resource Class",
    "Total",
    "Free",
    "Card",
    "Traits",
)
#: Values of DeviceState, as values of ``--state``.
_STATES = ("free", "in-use", "reserved", "stuck", "missing")


class ListDevices(CloudCommand, ListCommand):
    """List GPUs, their state, and the servers that have them.

    free; in-use: by a server on this host, or one that moves or is being created; reserved: by an
    operator, or not yet cleaned after its last server; stuck: allocated to a server that is not
    there; missing: in the host's inventory, but not in Placement. The column Note gives the reason
    and the fix. Switches, missing GPUs and partitions of link groups need --fleet.

    Needs the role admin in a project.
    """

    long_columns = _LONG
    layout = Layout(prose=("Note",), heading=("Host", "Address"))
    nothing = "No device matches"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's options."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        patterns = {
            "--host": ("HOST", "list only devices of this host (or pattern, such as 'gpu0*')"),
            "--model": ("MODEL", "list only GPUs of this model (or pattern)"),
            "--server": ("SERVER", "list only devices of this server (name, pattern or id)"),
        }
        for option, (metavar, text) in patterns.items():
            parser.add_argument(
                option, metavar=metavar, action="append", help=f"{text}; may be repeated"
            )
        parser.add_argument(
            "--state",
            choices=_STATES,
            action="append",
            help="list only devices in this state; may be repeated",
        )
        parser.add_argument(
            "--all",
            action="store_true",
            help="list other PCI devices in Placement, too, such as companions of GPUs and NICs",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Any]]:
        """Read the cloud and list its devices."""
        view = self.read_view(parsed_args)
        self.print_notes(view.notes)
        servers = _servers(view)
        return _COLUMNS + _LONG, [
            _row(device, servers)
            for host in view.hosts
            for device in (host.devices if parsed_args.all else host.gpus)
            if _is_selected(device, servers, parsed_args)
        ]


def _servers(view: "CloudView") -> Mapping[str, "Server"]:
    without_host = {server.id: server for server in view.servers_without_host}
    return without_host | {server.id: server for host in view.hosts for server in host.servers}


def _is_selected(
    device: "CloudDevice", servers: Mapping[str, "Server"], options: argparse.Namespace
) -> bool:
    if options.state and device.state.replace(" ", "-") not in options.state:
        return False
    consumers = [*device.consumers, *(server.name for server in _owners(device, servers))]
    return (
        _matches([device.host], options.host)
        and _matches([device.model or ""], options.model)
        and _matches(consumers, options.server)
    )


def _matches(names: Iterable[str], patterns: Sequence[str] | None) -> bool:
    """Check whether a name matches a pattern, ignoring case; without patterns all match."""
    if not patterns:
        return True
    return any(
        fnmatch.fnmatchcase(name.lower(), pattern.lower()) for name in names for pattern in patterns
    )


def _owners(device: "CloudDevice", servers: Mapping[str, "Server"]) -> list["Server"]:
    return [servers[consumer] for consumer in device.consumers if consumer in servers]


def _row(device: "CloudDevice", servers: Mapping[str, "Server"]) -> tuple[Any, ...]:
    owners = _owners(device, servers)
    return (
        device.host,
        device.address,
        OptionalColumn(device.model),
        str(device.state),
        ListColumn([server.name for server in owners]),
        device.note,
        ListColumn(device.consumers),
        ListColumn(dict.fromkeys(server.project_id for server in owners)),
        OptionalColumn(device.numa_node),
        PathColumn(device.link_group),
        OptionalColumn(device.switch),
        OptionalColumn(device.provider),
        device.resource_class,
        device.resource.total,
        device.resource.free,
        OptionalColumn(device.card),
        ListColumn(sorted(device.traits)),
    )
