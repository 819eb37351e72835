# SPDX-License-Identifier: Apache-2.0
"""``apply``: a cloud becomes what a fleet file says."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from nova_gpu_passthrough.cli import columns, progress
from nova_gpu_passthrough.cli.cloud import CloudCommand
from nova_gpu_passthrough.errors import UserError

if TYPE_CHECKING:
    from nova_gpu_passthrough.cloud.apply.change import Plan
    from nova_gpu_passthrough.cloud.apply.record import Record
    from nova_gpu_passthrough.fleet.desired import Desired

#: Escape sequences of lines of a diff, by what they begin with; the longest first.
_COLOURS = {"---": "1", "+++": "1", "@@": "36", "-": "31", "+": "32"}


class Apply(CloudCommand):
    """Bring a cloud to what the fleet file says: flavors, aggregates, traits, classes, limits.

    Prints what differs as a diff, then makes the changes; with --dry-run only the diff. A second
    run changes nothing. If it is interrupted or a service goes away, run it again: it goes on.

    A record beside the fleet file tells what apply made. Only that is deleted once the fleet file
    names it no more. What is held back, and why, is told on standard error.

    Needs the role admin: in Nova for flavors, aggregates and quotas, in Placement for traits and
    resource classes, in Keystone for limits and the names of projects.

    Exit status: 0, or 1 with --dry-run and a difference, or 2 with an error.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Options of the command."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--dry-run", action="store_true", help="only print what differs")
        parser.add_argument(
            "--prune",
            action="store_true",
            help="also delete what apply did not make: GPU flavors that are not in the fleet file, "
            "other hosts in its aggregates, other projects' limits on its GPUs, and whatever the "
            "file named once",
        )
        parser.add_argument(
            "--change-used",
            action="store_true",
            help="also change or delete flavors that servers have; these servers stay as they are",
        )
        parser.add_argument(
            "--record",
            metavar="FILE",
            type=Path,
            help="the record (default: beside the fleet file, FLEET.applied.yaml)",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Compare, print, change."""
        # Modules are imported where they are used: nova-gpu --help shall not wait for them.
        from nova_gpu_passthrough.fleet import desired_state

        resolved = self.required_fleet(parsed_args)
        wanted, made = desired_state.make(resolved)
        self.tell(map(str, resolved.notes))
        self.tell(map(str, made.notes))
        self.tell(f"flavor {one.name} is refused: {one.reason}" for one in made.refused)
        from nova_gpu_passthrough.cloud.apply import record

        path = parsed_args.record or record.default_path(parsed_args.fleet)
        if parsed_args.dry_run:
            return self._compare(parsed_args, wanted, path)
        with record.locked(path):
            return self._apply(parsed_args, wanted, path)

    def _compare(self, options: argparse.Namespace, wanted: "Desired", path: Path) -> int:
        from nova_gpu_passthrough.cloud.apply import plan

        connection, known = self.connection(options), self._record(options, wanted, path)
        found = plan.make(connection, wanted, known, options.prune, options.change_used)
        self._show(found)
        return 1 if found.changes else 0

    def _apply(self, options: argparse.Namespace, wanted: "Desired", path: Path) -> int:
        from nova_gpu_passthrough.cloud.apply import execution, plan, record
        from nova_gpu_passthrough.cloud.apply.api import Api
        from nova_gpu_passthrough.cloud.apply.record import Ledger

        known = self._record(options, wanted, path)
        with progress.shown() as tell:
            api = Api(self.connection(options), tell)
            found = plan.compare(api, wanted, known, options.prune, options.change_used)
        self._show(found)
        sys.stdout.flush()
        self.interrupted = "the last request was not waited for; run it again to go on"
        ledger = Ledger(known, lambda new: record.save(path, new))
        with progress.shown() as tell:

            def step(done: int, total: int) -> None:
                if tell:
                    tell("changes", done, total)

            refusals = execution.run(api, found, ledger, step)
        self.tell(refusal.reason for refusal in refusals)
        number = len(found.changes)
        if refusals:
            raise UserError(
                f"{len(refusals)} of {number} changes were refused; fix what is told above and "
                "run it again"
            )
        if number:
            self.tell([f"{number} change{'s' if number > 1 else ''} done"])
        return 0

    def _record(self, options: argparse.Namespace, wanted: "Desired", path: Path) -> "Record":
        """The record, or a new one."""
        from nova_gpu_passthrough.cloud.apply import record

        cloud, known = record.cloud_of(self.connection(options)), record.load(path)
        if known is None:
            return record.Record(wanted.fleet, cloud)
        known.check(wanted.fleet, cloud, path)
        return known

    def _show(self, plan: "Plan") -> None:
        for line in _coloured(plan.diff()) if columns.wanted() else plan.diff().splitlines():
            print(line)
        self.tell(plan.notes)
        self.tell(f"held back: {held}" for held in plan.held)
        if not plan.changes:
            self.tell([f"the cloud is what fleet {plan.desired.fleet} says: nothing to change"])


def _coloured(diff: str) -> Iterator[str]:
    for line in diff.splitlines():
        code = next((code for start, code in _COLOURS.items() if line.startswith(start)), None)
        yield f"\x1b[{code}m{line}\x1b[0m" if code else line
