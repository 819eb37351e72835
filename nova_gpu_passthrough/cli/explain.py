# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu explain``: why no host takes a server, or why this host has it."""

import argparse
from collections.abc import Iterable, Sequence
from typing import Any

from cliff.lister import Lister

from nova_gpu_passthrough.cli.cloud import CloudCommand
from nova_gpu_passthrough.cli.columns import Maybe

_COLUMNS = ("Host", "Answer", "Constraint", "Detail")


class Explain(CloudCommand, Lister):
    """List what every GPU host answers to a server, or to one more server of a flavor.

    For each host the first constraint that fails, with numbers, in the order in which Nova meets
    them: nova-compute, Placement, GpuPassthroughFilter, NUMATopologyFilter, the claim. Hosts that
    fit come first, with the devices that the server would get and the weight that
    GpuPassthroughWeigher gives. The host that has the server tells which devices it has.

    Answers are about now. A server that was refused at another time met other hosts. Standard
    error has the answers in a sentence, and what is not sure.

    Needs the role admin in a project, and --fleet.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Options of the command."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("name", metavar="SERVER|FLAVOR", help="name or id, of any project")
        kinds = parser.add_mutually_exclusive_group()
        for kind, other in (("server", "flavor"), ("flavor", "server")):
            kinds.add_argument(
                f"--{kind}",
                dest="kind",
                action="store_const",
                const=kind,
                help=f"it is a {kind}, even if a {other} is called so, too",
            )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Any]]:
        """Read the cloud and let every host answer."""
        fleet = self.required_fleet(parsed_args)
        view = self.view(parsed_args)
        from nova_gpu_passthrough.cloud.fit.explain import explanation, subject
        from nova_gpu_passthrough.cloud.view.api import Api

        api = Api(self.connection(parsed_args))
        found = subject.find(api, view, parsed_args.name, parsed_args.kind)
        explained = explanation.explain(view, fleet, found)
        self.tell((*explained.notes, *explained.summary))
        columns = _COLUMNS
        rows = [
            (host.host, str(host.answer), host.constraint, host.detail) for host in explained.hosts
        ]
        if parsed_args.formatter in ("json", "csv", "yaml"):
            return (*columns, "Cause", "Weight"), [
                (*row, Maybe(host.refused and str(host.refused.cause)), Maybe(host.weight))
                for row, host in zip(rows, explained.hosts, strict=True)
            ]
        return columns, rows
