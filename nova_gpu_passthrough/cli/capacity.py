# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu capacity``: how many more GPU servers fit, and which free GPUs are stranded."""

import argparse
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nova_gpu_passthrough.cli import project_option
from nova_gpu_passthrough.cli.cloud_command import CloudCommand
from nova_gpu_passthrough.cli.listing import ListColumn, ListCommand, OptionalColumn
from nova_gpu_passthrough.cli.table import Layout
from nova_gpu_passthrough.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from nova_gpu_passthrough.cloud.fit.capacity import CloudCapacity
    from nova_gpu_passthrough.cloud.view.model import CloudView
    from nova_gpu_passthrough.fleet.resolve import ResolvedFleet

_COLUMNS = ("Flavor", "GPUs", "Model", "Servers", "Hosts", "Limited By", "Exact")
_BY_HOST = ("Flavor", "Host", "Servers", "Limited By", "Refused By", "Detail")
_STRANDED = ("Host", "Address", "Model", "Limited By", "Flavor", "Detail")
#: Formats whose rows programs store; each row has the time.
_FORMATS_WITH_TIME = frozenset(("json", "csv", "yaml"))

_Table = tuple[Sequence[str], Iterable[tuple[Any, ...]]]


class ShowCapacity(CloudCommand, ListCommand):
    """List how many more servers of each GPU flavor fit now, and which resource runs out first.

    The number of each flavor assumes that no servers of other flavors are created. It considers
    what Placement, the scheduler's filters and nova-compute check: GPUs, links, switches, NUMA
    nodes, pinned CPUs, memory pages, aggregates, projects. Exact is false where something about a
    flavor or a host is unknown; standard error says what. Rows in json, csv and yaml begin with the
    time (UTC).

    Needs --fleet, and role admin or policies that permit reading (see "An auditor" in the
    documentation).
    """

    examples = """
        nova-gpu capacity --fleet fleet.yaml
          how many more servers of each GPU flavor fit
        nova-gpu capacity --fleet fleet.yaml gpu.h100-sxm.8 --by-host
          on which hosts a flavor fits, and why not on the others
        nova-gpu capacity --fleet fleet.yaml --project research
          the flavors that a project may use, on hosts that are not reserved for others
        nova-gpu capacity --fleet fleet.yaml --stranded
          free GPUs that no server can use
    """
    layout = Layout(prose=("Detail",), heading=("Flavor", "Host", "Address"))

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's options."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "flavors", metavar="FLAVOR", nargs="*", help="name or id (default: all GPU flavors)"
        )
        project_option.add(
            parser,
            "count servers of this project: the flavors that it may use, on hosts that are not "
            "reserved for others",
        )
        tables = parser.add_mutually_exclusive_group()
        tables.add_argument(
            "--by-host",
            action="store_true",
            help="list each flavor on each host, with the reason why the next server does not fit",
        )
        tables.add_argument(
            "--stranded",
            action="store_true",
            help="list free GPUs that no server of any GPU flavor can use now, and why",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> _Table:
        """Read the cloud and count the servers that fit."""
        if parsed_args.stranded and parsed_args.flavors:
            raise UserError(
                "--stranded considers all flavors: do not name any with it, or omit it to count "
                f"servers of {', '.join(parsed_args.flavors)}"
            )
        fleet = self.require_fleet(parsed_args)
        project = None
        if parsed_args.project:
            # Before the long reading of the cloud.
            project = project_option.find(self.connection(parsed_args), parsed_args.project)
        view = self.read_view(parsed_args)
        from nova_gpu_passthrough.cloud.fit import capacity, reservations

        flavor_names = _flavor_names(view, fleet, parsed_args.flavors)
        names: Mapping[str, str] = {}
        if project or reservations.by_projects(view, fleet):
            names = self.read_owners(parsed_args, view).projects
        counted = capacity.count(view, fleet, flavor_names, project, names)
        flavor_notes = (note for flavor in counted.flavors for note in flavor.notes)
        self.print_notes(dict.fromkeys((*view.notes, *counted.notes, *flavor_notes)))
        columns, rows = _table(counted, parsed_args)
        if parsed_args.formatter in _FORMATS_WITH_TIME:
            columns = ("Taken At", *columns)
            rows = [(counted.taken_at, *row) for row in rows]
        return columns, rows


def _flavor_names(
    view: "CloudView", fleet: "ResolvedFleet", names_or_ids: Sequence[str]
) -> Collection[str] | None:
    """Return the names of the requested flavors; None requests all.

    :raises UserError: if a flavor does not exist, or is not a GPU flavor
    """
    if not names_or_ids:
        return None
    from nova_gpu_passthrough.cloud.fit import gpu_flavors

    names = {flavor.id: flavor.name for flavor in view.flavors}
    names |= {flavor.name: flavor.name for flavor in view.flavors}
    gpu_flavor_names = {one.flavor.name for one in gpu_flavors.find(view.flavors, fleet)[0]}
    for given in names_or_ids:
        if given not in names:
            every = f"; GPU flavors: {', '.join(sorted(gpu_flavor_names)) or 'there are none'}"
            raise UserError(f"no flavor {given}{did_you_mean(given, names, 3) or every}")
        if names[given] not in gpu_flavor_names:
            raise UserError(
                f"flavor {given} requests no GPUs by an alias of the fleet, or Nova refuses it: "
                "see nova-gpu explain"
            )
    return {names[given] for given in names_or_ids}


def _table(counted: "CloudCapacity", options: argparse.Namespace) -> _Table:
    if options.stranded:
        return _STRANDED, [
            (
                gpu.host,
                gpu.address,
                gpu.model,
                str(gpu.constraint),
                OptionalColumn(gpu.flavor),
                gpu.detail,
            )
            for gpu in counted.stranded
        ]
    if options.by_host:
        return _BY_HOST, [
            (
                flavor.flavor,
                host,
                servers,
                ListColumn(tuple(map(str, flavor.limits[host].constraints))),
                str(flavor.limits[host].stage),
                flavor.detail(host),
            )
            for flavor in counted.flavors
            for host, servers in flavor.by_host.items()
        ]
    return _COLUMNS, [
        (
            flavor.flavor,
            flavor.gpus,
            OptionalColumn(flavor.model),
            flavor.servers,
            flavor.hosts,
            OptionalColumn(flavor.limited_by and str(flavor.limited_by)),
            flavor.exact,
        )
        for flavor in counted.flavors
    ]
