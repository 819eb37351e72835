# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu status``: the state of a cloud's GPUs on one screen."""

import argparse
import dataclasses
import json
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from nova_gpu_passthrough.cli import terminal
from nova_gpu_passthrough.cli.cloud_command import CloudCommand
from nova_gpu_passthrough.errors import EXIT_STATUS

if TYPE_CHECKING:
    from nova_gpu_passthrough.cloud.report.fleet_status import FleetStatus, QuotaStatus

#: Projects on the screen; ``-f json`` has all.
_MOST_PROJECTS = 8
#: Version of the document of the formats json and yaml.
_VERSION = 1


class ShowStatus(CloudCommand):
    """Show the state of a cloud's GPUs on one screen, and what needs attention.

    For each GPU model: how many there are, are in use, free, usable (a server could have it now),
    held (reserved in Placement), stuck and missing. Then the largest flavor of each model and how
    many of its servers still fit; what needs attention, with the command that says more; and the
    GPUs that projects use. With --fleet it also compares the cloud with the fleet file, as lint
    does without --config. Without --fleet it is not known which servers fit, which GPUs are missing
    or stranded, and whether fleet file and cloud agree.

    Needs role admin, or policies that permit reading: see "An auditor" in the documentation. With
    role reader it shows the quota of your project only.

    Exit status: 0, or 1 if something needs attention, or 2 with an error, and if the role does not
    suffice to tell.
    """

    examples = """
        nova-gpu --os-cloud admin status
          the first command for a cloud that you do not know
        nova-gpu status --fleet fleet.yaml
          with what fits, and compared with the fleet file
        nova-gpu status --fleet fleet.yaml -f json
          the same for programs
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's options."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "-f",
            "--format",
            choices=("text", "json", "yaml"),
            default="text",
            help="the output's format (default: text)",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Read the cloud and print its status."""
        # First, so that an invalid fleet file is reported before requests are sent.
        fleet = self.load_fleet(parsed_args)
        connection = self.connection(parsed_args)
        from nova_gpu_passthrough.cloud.report import status_reading

        with terminal.progress_bar() as report_progress:
            reading = status_reading.read(connection, fleet, report_progress)
        status = reading.status
        if parsed_args.format == "text":
            print("\n".join(_text(status)))
            self.print_notes(reading.notes)
        else:
            _print_document(
                {"version": _VERSION, **dataclasses.asdict(status), "notes": [*reading.notes]},
                parsed_args.format,
            )
        if not reading.complete:
            return EXIT_STATUS
        return 1 if status.attention else 0


def _print_document(document: dict[str, Any], form: str) -> None:
    if form == "json":
        print(json.dumps(document, indent=2))
    else:
        import yaml

        print(yaml.safe_dump(json.loads(json.dumps(document)), sort_keys=False), end="")


def _text(status: "FleetStatus") -> Iterator[str]:
    from nova_gpu_passthrough.cloud.report import formatting

    parts = [
        f"cloud {status.cloud}" if status.cloud else "",
        f"fleet {status.fleet}" if status.fleet else "",
        formatting.moment(status.taken_at),
    ]
    yield _bold(f"GPUs: {', '.join(filter(None, parts))}")
    for section in (
        _models(status),
        _flavors(status),
        _free_blocks(status),
        _attention(status),
        _quotas(status),
    ):
        lines = list(section)
        if lines:
            yield ""
            yield from lines


def _models(status: "FleetStatus") -> Iterator[str]:
    if status.models is None:
        return
    if not status.models:
        yield "No host has GPUs: see nova-gpu host list, and lint"
        return
    columns = ("Model", "Total", "In use", "Free", "Usable", "Held", "Stuck", "Missing")
    yield from _table(columns, (dataclasses.astuple(model) for model in status.models))


def _flavors(status: "FleetStatus") -> Iterator[str]:
    if not status.flavors:
        return
    columns = ("What still fits", "GPUs", "Servers", "Hosts", "Limited by")
    yield from _table(
        columns,
        (
            (
                one.flavor,
                one.gpus,
                f"{'' if one.exact else 'about '}{one.servers}",
                one.hosts,
                one.limited_by,
            )
            for one in status.flavors
        ),
    )


def _free_blocks(status: "FleetStatus") -> Iterator[str]:
    """Yield how many GPUs are free together, where it is not known what fits."""
    if status.flavors is None and status.free_blocks:
        columns = ("Most free on one host", "GPUs", "Host")
        yield from _table(columns, ((one.model, one.gpus, one.host) for one in status.free_blocks))


def _attention(status: "FleetStatus") -> Iterator[str]:
    if status.models is None:
        return
    if not status.attention:
        yield "Nothing needs attention"
        return
    yield _bold("Needs attention")
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 1_000_000
    for one in status.attention:
        yield from textwrap.wrap(
            one.text,
            max(width, 20),
            initial_indent="  ",
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        yield f"      {one.command}"


def _quotas(status: "FleetStatus") -> Iterator[str]:
    if not status.quotas:
        return
    rows = [
        (one.project, one.model, one.used, _limit(one)) for one in status.quotas[:_MOST_PROJECTS]
    ]
    yield from _table(("Project", "Model", "Used", "Limit"), rows)
    more = len(status.quotas) - len(rows)
    if more:
        yield f"and {more} more: nova-gpu quota list"


def _limit(quota: "QuotaStatus") -> str:
    if quota.limit is None:
        return "none" if quota.limit_known else "unknown"
    return str(quota.limit)


def _table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Yield lines with aligned columns, numbers to the right."""
    from rich.cells import cell_len

    cells = [tuple(map(str, row)) for row in rows]
    is_number = [
        all(re.fullmatch(r"(about )?\d+", row[place]) for row in cells)
        for place in range(len(columns))
    ]
    widths = [
        max(cell_len(row[place]) for row in (columns, *cells)) for place in range(len(columns))
    ]
    for row in (columns, *cells):
        line = ""
        for cell, width, right in zip(row, widths, is_number, strict=True):
            blanks = " " * (width - cell_len(cell))
            line += f"{blanks}{cell}  " if right else f"{cell}{blanks}  "
        yield _bold(line.rstrip()) if row is columns else line.rstrip()


def _bold(text: str) -> str:
    return f"\x1b[1m{text}\x1b[0m" if terminal.shows_colours() else text
