# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu capacity``: how many more GPU servers fit, and which free GPUs are stranded."""

import argparse
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from nova_gpu_passthrough.cli import capacity_tables, project_option
from nova_gpu_passthrough.cli.cloud_command import CloudCommand
from nova_gpu_passthrough.cli.listing import ListCommand
from nova_gpu_passthrough.cli.table import Layout
from nova_gpu_passthrough.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from nova_gpu_passthrough.cloud.quota.flavor_quota import QuotaAnswer
    from nova_gpu_passthrough.cloud.view.model import CloudView
    from nova_gpu_passthrough.fleet.resolve import ResolvedFleet

#: Formats whose rows programs store; each row has the time.
_FORMATS_WITH_TIME = frozenset(("json", "csv", "yaml"))


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
        nova-gpu capacity --fleet fleet.yaml --add 2xgpu01
          what two more hosts like gpu01 would give
        nova-gpu capacity --fleet fleet.yaml --by-domain rack
          how many servers would fit if a rack failed
        nova-gpu capacity --fleet fleet.yaml --stranded
          free GPUs that no server can use
    """
    nothing = "No flavor requests GPUs of the fleet"
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
            "reserved for others; By Quota is what its quota permits",
        )
        parser.add_argument(
            "--add",
            metavar="COUNTxNAME",
            action="append",
            default=[],
            help="count also with so many more empty hosts: 2xgpu01 for hosts like gpu01, or with "
            "the file of an inventory or a GPU model of the cloud as NAME (may be repeated)",
        )
        parser.add_argument(
            "--without",
            metavar="LEVEL=NAME",
            action="append",
            default=[],
            help="count also without the hosts of a failure domain, such as rack=r1 or host=gpu01, "
            "and say whether the servers there would fit elsewhere (may be repeated)",
        )
        tables = parser.add_mutually_exclusive_group()
        tables.add_argument(
            "--by-host",
            action="store_true",
            help="list each flavor on each host, with the reason why the next server does not fit",
        )
        tables.add_argument(
            "--by-domain",
            metavar="LEVEL",
            help="list for each failure domain of a level of the fleet file (rack, room, ...; or "
            "host) how many servers of each flavor fit if it fails",
        )
        tables.add_argument(
            "--stranded",
            action="store_true",
            help="list free GPUs that no server of any GPU flavor can use now, and why",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> capacity_tables.Table:
        """Read the cloud and count the servers that fit."""
        _check(parsed_args)
        if parsed_args.stranded:
            self.nothing = "No free GPU is stranded"
        fleet = self.require_fleet(parsed_args)
        project = project_option.find(self, parsed_args)
        view = self.read_view(parsed_args)
        from nova_gpu_passthrough.cloud.fit import (
            capacity,
            domain_loss,
            host_additions,
            reservations,
        )

        if parsed_args.by_domain:
            domain_loss.check_level(view, parsed_args.by_domain)
        failed = domain_loss.find(view, parsed_args.without)
        removed = {host for hosts in failed.values() for host in hosts}
        additions = host_additions.add(view, fleet, parsed_args.add)
        flavor_names = _flavor_names(view, fleet, parsed_args.flavors)
        names: Mapping[str, str] = {}
        if project or reservations.by_projects(view, fleet):
            names = self.read_owners(parsed_args, view).projects
        counted = capacity.count(additions.view, fleet, flavor_names, project, names)
        notes = [*additions.notes, *view.notes, *counted.notes]
        notes += [note for flavor in counted.flavors for note in flavor.notes]
        if failed:
            domain = ", ".join(failed)
            notes.append(str(domain_loss.restart(additions.view, fleet, domain, removed)))
        elif parsed_args.by_domain:
            notes += _restarts(additions.view, fleet, parsed_args.by_domain)
        level = domain_loss.levels(view)[0]
        if level != domain_loss.HOST:
            notes += domain_loss.warnings(counted.flavors, additions.view.hosts, level)
        self.print_notes(dict.fromkeys(notes))
        if parsed_args.by_host:
            columns, rows = capacity_tables.by_host(counted)
        elif parsed_args.by_domain:
            columns, rows = capacity_tables.by_domain(
                counted, additions.view.hosts, parsed_args.by_domain
            )
        elif parsed_args.stranded:
            columns, rows = capacity_tables.stranded(counted)
        else:
            table = capacity_tables.FlavorTable(counted)
            if additions.names or removed:
                table.compare(additions.names, removed, parsed_args.formatter)
            elif level != domain_loss.HOST:
                table.add_loss(view.hosts, level)
            if project:
                answers = self._quota_answers(parsed_args, project, view, fleet)
                if answers:
                    table.add_quota(answers)
            columns, rows = table.table()
        if parsed_args.formatter in _FORMATS_WITH_TIME:
            columns = ("Taken At", *columns)
            rows = [(counted.taken_at, *row) for row in rows]
        return columns, rows

    def _quota_answers(
        self,
        options: argparse.Namespace,
        project: str,
        view: "CloudView",
        fleet: "ResolvedFleet",
    ) -> "Mapping[str, QuotaAnswer]":
        """Read how many servers a project's quota permits, by name of the flavor.

        Without the permission to read it, nothing is returned, with a note.
        """
        from openstack import exceptions

        from nova_gpu_passthrough.cloud.fit import gpu_flavors
        from nova_gpu_passthrough.cloud.quota import caller, flavor_quota
        from nova_gpu_passthrough.cloud.view.reader import CloudReader

        connection = self.connection(options)
        flavors = gpu_flavors.find(view.flavors, fleet)[0]
        try:
            quota = flavor_quota.read(
                CloudReader(connection), caller.read(connection), flavors, project
            )
        except (UserError, exceptions.ForbiddenException) as error:
            reason = error if isinstance(error, UserError) else "it needs role admin"
            self.print_notes([f"the quota of project {options.project} is not counted: {reason}"])
            return {}
        self.print_notes(quota.notes)
        return {one.flavor.name: flavor_quota.answer(quota, one) for one in flavors}


def _check(options: argparse.Namespace) -> None:
    """Check which options are given together.

    :raises UserError: if they exclude each other
    """
    if options.stranded and options.flavors:
        raise UserError(
            "--stranded considers all flavors: do not name any with it, or omit it to count "
            f"servers of {', '.join(options.flavors)}"
        )
    if options.stranded and (options.add or options.without):
        raise UserError("--stranded considers the hosts that are there: omit --add and --without")
    if options.without and (options.by_host or options.by_domain):
        raise UserError("--without compares all hosts: omit --by-host and --by-domain")


def _restarts(view: "CloudView", fleet: "ResolvedFleet", level: str) -> list[str]:
    """Describe for each domain whether its servers would fit elsewhere."""
    from nova_gpu_passthrough.cloud.fit import domain_loss

    members: dict[str, set[str]] = {}
    for host in view.hosts:
        name = domain_loss.domain_of(host, level)
        if name is not None:
            members.setdefault(f"{level} {name}", set()).add(host.name)
    found = (domain_loss.restart(view, fleet, name, hosts) for name, hosts in members.items())
    return [str(one) for one in found if one.servers]


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
