# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu capacity``: how many more GPU servers fit, and which GPUs none can use."""

import argparse
import difflib
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from cliff.lister import Lister

from nova_gpu_passthrough.cli.cloud import CloudCommand
from nova_gpu_passthrough.cli.columns import Maybe
from nova_gpu_passthrough.errors import UserError

if TYPE_CHECKING:
    from nova_gpu_passthrough.cloud.fit.capacity_model import Capacity as Counted
    from nova_gpu_passthrough.cloud.view.model import CloudView
    from nova_gpu_passthrough.fleet.resolve import Resolved

_COLUMNS = ("Flavor", "GPUs", "Model", "Servers", "Hosts", "Limited By", "Exact")
_BY_HOST = ("Flavor", "Host", "Servers", "Limited By", "Detail")
_STRANDED = ("Host", "Address", "Model", "Cause", "Flavor", "Detail")
#: Formats that programs keep; their rows say when they were made.
_KEPT = frozenset(("json", "csv", "yaml"))

_Table = tuple[Sequence[str], Iterable[tuple[Any, ...]]]


class Capacity(CloudCommand, Lister):
    """List how many more servers of each GPU flavor fit now, and what they run out of first.

    Every number stands for itself: as if no other servers came. It takes into account what
    Placement, the scheduler's filters and nova-compute do: GPUs, links, switches, NUMA nodes,
    pinned CPUs, memory pages. Exact is false where something of a flavor or a host is not known;
    standard error says what. Rows of json, csv and yaml begin with the time (UTC).

    Needs the role admin in a project, and --fleet.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Options of the command."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "flavors", metavar="FLAVOR", nargs="*", help="name or id (default: all GPU flavors)"
        )
        kinds = parser.add_mutually_exclusive_group()
        kinds.add_argument(
            "--by-host",
            action="store_true",
            help="a row for each flavor and host, with what refuses the next server there",
        )
        kinds.add_argument(
            "--stranded",
            action="store_true",
            help="list free GPUs that no server of any GPU flavor can use now, and why",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> _Table:
        """Read the cloud and count."""
        if parsed_args.stranded and parsed_args.flavors:
            raise UserError(
                "--stranded is about all flavors: give it without any, or leave it out to count "
                f"servers of {', '.join(parsed_args.flavors)}"
            )
        fleet = self.required_fleet(parsed_args)
        view = self.view(parsed_args)
        from nova_gpu_passthrough.cloud.fit import capacity

        wanted = _names(view, fleet, parsed_args.flavors)
        counted = capacity.count(view, fleet, wanted)
        of_flavors = (note for flavor in counted.flavors for note in flavor.notes)
        self.tell(dict.fromkeys((*view.notes, *counted.notes, *of_flavors)))
        columns, rows = _table(counted, parsed_args)
        if parsed_args.formatter in _KEPT:
            columns = ("Taken At", *columns)
            rows = [(counted.taken_at, *row) for row in rows]
        return columns, rows


def _names(view: "CloudView", fleet: "Resolved", asked: Sequence[str]) -> Collection[str] | None:
    """Names of the flavors that are asked for, by name or id; None: all.

    :raises UserError: if there is no such flavor, or it is no GPU flavor
    """
    if not asked:
        return None
    from nova_gpu_passthrough.cloud.fit import gpu_flavors

    by_word = {flavor.id: flavor.name for flavor in view.flavors}
    by_word |= {flavor.name: flavor.name for flavor in view.flavors}
    gpu = {one.flavor.name for one in gpu_flavors.find(view.flavors, fleet)[0]}
    for word in asked:
        if word not in by_word:
            near = difflib.get_close_matches(word, by_word, 3)
            names = ", ".join(near or sorted(gpu)) or "there is none"
            raise UserError(f"no flavor {word}; {'near' if near else 'GPU flavors'}: {names}")
        if by_word[word] not in gpu:
            raise UserError(
                f"flavor {word} asks for no GPUs by an alias of the fleet, or Nova refuses it: "
                "see nova-gpu explain"
            )
    return {by_word[word] for word in asked}


def _table(counted: "Counted", options: argparse.Namespace) -> _Table:
    if options.stranded:
        return _STRANDED, [
            (gpu.host, gpu.address, gpu.model, str(gpu.cause), Maybe(gpu.flavor), gpu.detail)
            for gpu in counted.stranded
        ]
    if options.by_host:
        return _BY_HOST, [
            (
                flavor.flavor,
                host,
                servers,
                str(flavor.limits[host].cause),
                flavor.limits[host].detail,
            )
            for flavor in counted.flavors
            for host, servers in flavor.by_host.items()
        ]
    return _COLUMNS, [
        (
            flavor.flavor,
            flavor.gpus,
            Maybe(flavor.model),
            flavor.servers,
            flavor.hosts,
            Maybe(flavor.limited_by and str(flavor.limited_by)),
            flavor.exact,
        )
        for flavor in counted.flavors
    ]
