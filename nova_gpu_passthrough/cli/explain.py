# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu explain``: why a server fits on a host, or does not."""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nova_gpu_passthrough.cli import project_option
from nova_gpu_passthrough.cli.cloud_command import CloudCommand
from nova_gpu_passthrough.cli.listing import ListColumn, ListCommand, OptionalColumn
from nova_gpu_passthrough.cli.table import Layout
from nova_gpu_passthrough.errors import UserError

_COLUMNS = ("Host", "Answer", "Limited By", "Refused By", "Detail")
_LONG = ("Weight",)


class ExplainRequest(CloudCommand, ListCommand):
    """Explain for every GPU host whether a server, or one more server of a flavor, fits there.

    For each host it lists what refuses the server first, in the order in which Nova checks
    (nova-compute, Placement, the filters of nova-scheduler, the claim), and all constraints that
    fail there, with numbers, in the words of nova-gpu capacity --by-host. Hosts that fit come
    first, with the devices that the server would get and the weight from GpuPassthroughWeigher. For
    the host that runs the server it lists the server's devices.

    The answers describe the present state, which may differ from that when a server was refused.
    Standard error has a summary, and what is uncertain.

    Needs --fleet, and role admin or policies that permit reading (see "An auditor" in the
    documentation).
    """

    examples = """
        nova-gpu explain gpu.h100-sxm.8 --fleet fleet.yaml
          where one more server of the flavor would fit
        nova-gpu explain train-1 --fleet fleet.yaml
          why Nova refused the server, or where it is
    """
    long_columns = _LONG
    nothing = "No host has GPUs in Placement, and the fleet file names none with GPUs"
    layout = Layout(prose=("Detail",), heading=("Host", "Answer", "Limited By", "Refused By"))

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's options."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("name", metavar="SERVER|FLAVOR", help="name or id, of any project")
        project_option.add(parser, "explain the flavor for servers of this project")
        subjects = parser.add_mutually_exclusive_group()
        for subject, other in (("server", "flavor"), ("flavor", "server")):
            subjects.add_argument(
                f"--{subject}",
                dest="kind",
                action="store_const",
                const=subject,
                help=f"the name is that of a {subject}, even if a {other} has the same name",
            )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Any]]:
        """Read the cloud and explain every host."""
        fleet = self.require_fleet(parsed_args)
        project = project_option.find(self, parsed_args)
        view = self.read_view(parsed_args)
        from nova_gpu_passthrough.cloud.fit import explanation, reservations, subject
        from nova_gpu_passthrough.cloud.view.reader import CloudReader

        reader = CloudReader(self.connection(parsed_args))
        found = subject.find(reader, view, parsed_args.name, parsed_args.kind, project)
        if found.server and project:
            raise UserError(
                f"--project is for a flavor: server {parsed_args.name} is explained for its own "
                "project"
            )
        names: Mapping[str, str] = {}
        if project or reservations.by_projects(view, fleet):
            names = self.read_owners(parsed_args, view).projects
        explained = explanation.explain(view, fleet, found, names)
        self.print_notes((*explained.notes, *explained.summary))
        return _COLUMNS + _LONG, [
            (
                host.host,
                str(host.answer),
                ListColumn(tuple(map(str, host.constraints))),
                OptionalColumn(host.refusal and str(host.refusal.stage)),
                host.detail,
                OptionalColumn(host.weight),
            )
            for host in explained.hosts
        ]
