# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu device list``: the GPUs of a cloud, and the servers that have them."""

import argparse
import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nova_gpu_passthrough.cli.cloud_command import CloudCommand
from nova_gpu_passthrough.cli.listing import (
    FlatColumn,
    ListColumn,
    ListCommand,
    OptionalColumn,
    PathColumn,
)
from nova_gpu_passthrough.cli.table import Layout

if TYPE_CHECKING:
    from nova_gpu_passthrough.cloud.view.model import CloudDevice, Server
    from nova_gpu_passthrough.cloud.view.owners import Owners

_COLUMNS = ("Host", "Address", "Model", "State", "Server", "Project", "Note")
_LONG = (
    "Server ID",
    "Server Status",
    "Task State",
    "Created",
    "Unchanged Since",
    "Flavor",
    "User",
    "Project ID",
    "NUMA Node",
    "Link Group",
    "Switch",
    "Provider",
    "Resource Class",
    "Total",
    "Free",
    "Card",
    "Serial",
    "Traits",
)
#: Values of DeviceState, as values of ``--state``.
_STATES = ("free", "in-use", "reserved", "stuck", "missing")
#: The statuses of servers that can have devices (nova/api/openstack/compute/views/servers.py and
#: ``_STATE_MAP`` in nova/api/openstack/common.py).
SERVER_STATUSES = (
    "ACTIVE",
    "BUILD",
    "ERROR",
    "HARD_REBOOT",
    "MIGRATING",
    "PASSWORD",
    "PAUSED",
    "REBOOT",
    "REBUILD",
    "RESCUE",
    "RESIZE",
    "REVERT_RESIZE",
    "SHELVED",
    "SHUTOFF",
    "SOFT_DELETED",
    "SUSPENDED",
    "UNKNOWN",
    "VERIFY_RESIZE",
)


class ListDevices(CloudCommand, ListCommand):
    """List GPUs, their state, and the servers that have them.

    free; in-use: by a server on this host, or one that moves or is being created; reserved: by an
    operator, or not yet cleaned after its last server; stuck: allocated to a server that is not
    there; missing: in the host's inventory, but not in Placement. The column Note gives the reason
    and the fix, and which servers do not run. Switches, missing GPUs and partitions of link groups
    need --fleet.

    Unchanged Since is when Nova last changed anything of the server: it has had its status at
    least since then.

    Needs role admin, or policies that permit reading (see "An auditor" in the documentation). Names
    of projects and users are from Keystone; where it does not permit reading them, ids are listed.
    """

    examples = """
        nova-gpu device list --state stuck --state reserved
          GPUs that need attention, with the reason and the fix
        nova-gpu device list --project research --long
          the GPUs of a project, with all that is known of them
        nova-gpu device list --server train-1 -f json
          the GPUs of a server, for a program
    """
    long_columns = _LONG
    layout = Layout(prose=("Note",), heading=("Host", "Address"))

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's options."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        patterns = {
            "--host": ("HOST", "list only devices of this host (or pattern, such as 'gpu0*')"),
            "--model": ("MODEL", "list only GPUs of this model (or pattern)"),
            "--server": ("SERVER", "list only devices of this server (name, pattern or id)"),
            "--project": ("PROJECT", "list only devices of this project (name, pattern or id)"),
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
            "--server-status",
            metavar="STATUS",
            type=_server_status,
            action="append",
            help="list only devices of servers with this status in Nova, such as SHUTOFF or ERROR; "
            "may be repeated",
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
        owners = self.read_owners(parsed_args, view)
        self.print_notes([*view.notes, *owners.notes])
        servers = view.servers
        self.nothing = _nothing([host.name for host in view.hosts], parsed_args)
        return _COLUMNS + _LONG, [
            _row(device, servers, owners, view.taken_at)
            for host in view.hosts
            for device in (host.devices if parsed_args.all else host.gpus)
            if _is_selected(device, servers, owners, parsed_args)
        ]


class AgoColumn(FlatColumn):
    """A time: how long ago for people, ISO 8601 for programs; empty or null if it is not known."""

    def human_readable(self) -> str:
        """Return a text such as "3d ago"."""
        # Imported here to keep nova-gpu --help fast.
        from nova_gpu_passthrough.cloud.report import formatting

        moment, now = self._value
        return f"{formatting.age(moment, now)} ago" if moment else ""

    def machine_readable(self) -> str | None:
        """Return the time in ISO 8601."""
        return self.flat()

    def flat(self) -> str | None:
        """Return the time in ISO 8601."""
        moment: str = self._value[0]
        return moment or None


def _server_status(text: str) -> str:
    status = text.upper().replace("-", "_")
    if status not in SERVER_STATUSES:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a status of servers, expected one of {', '.join(SERVER_STATUSES)}"
        )
    return status


def _nothing(hosts: Sequence[str], options: argparse.Namespace) -> str:
    """Return why the list is empty, if it is."""
    for pattern in options.host or ():
        if not _matches(hosts, [pattern]):
            return f"No host matches {pattern}; those with GPUs: {', '.join(hosts) or 'none'}"
    filters = ("host", "model", "server", "project", "state", "server_status")
    if any(getattr(options, name) for name in filters):
        return "No device matches all of the filters"
    return "No host has GPUs"


def _is_selected(
    device: "CloudDevice",
    servers: Mapping[str, "Server"],
    owners: "Owners",
    options: argparse.Namespace,
) -> bool:
    if options.state and device.state not in options.state:
        return False
    found = _servers_of(device, servers)
    if options.server_status and not any(s.status in options.server_status for s in found):
        return False
    return (
        _matches([device.host], options.host)
        and _matches([device.model or ""], options.model)
        and _matches([*device.consumers, *(server.name for server in found)], options.server)
        and _matches(
            [name for server in found for name in (server.project_id, owners.project(server))],
            options.project,
        )
    )


def _matches(names: Iterable[str], patterns: Sequence[str] | None) -> bool:
    """Check whether a name matches a pattern, ignoring case; without patterns all match."""
    if not patterns:
        return True
    return any(
        fnmatch.fnmatchcase(name.lower(), pattern.lower()) for name in names for pattern in patterns
    )


def _servers_of(device: "CloudDevice", servers: Mapping[str, "Server"]) -> list["Server"]:
    return [servers[consumer] for consumer in device.consumers if consumer in servers]


def _row(
    device: "CloudDevice", servers: Mapping[str, "Server"], owners: "Owners", now: str
) -> tuple[Any, ...]:
    found = _servers_of(device, servers)
    # A device of several servers is a physical function with VFs: the first one's times are shown.
    first = found[0] if found else None
    return (
        device.host,
        device.address,
        OptionalColumn(device.model),
        str(device.state),
        ListColumn([server.name for server in found]),
        ListColumn(dict.fromkeys(map(owners.project, found))),
        _note(device, found, now),
        ListColumn(device.consumers),
        ListColumn([server.status for server in found]),
        ListColumn([server.task_state for server in found if server.task_state]),
        AgoColumn((first.created if first else "", now)),
        AgoColumn((first.updated if first else "", now)),
        ListColumn(dict.fromkeys(server.flavor for server in found)),
        ListColumn(dict.fromkeys(map(owners.user, found))),
        ListColumn(dict.fromkeys(server.project_id for server in found)),
        OptionalColumn(device.numa_node),
        PathColumn(device.link_group),
        OptionalColumn(device.switch),
        OptionalColumn(device.provider),
        device.resource_class,
        device.resource.total,
        device.resource.free,
        OptionalColumn(device.card),
        OptionalColumn(device.serial),
        ListColumn(sorted(device.traits)),
    )


def _note(device: "CloudDevice", servers: Iterable["Server"], now: str) -> str:
    """Return the device's note, and which of its servers do not run."""
    from nova_gpu_passthrough.cloud.report import formatting

    idle = (formatting.idleness(server, now) for server in servers if server.is_idle)
    return "; ".join(filter(None, (device.note, *idle)))
