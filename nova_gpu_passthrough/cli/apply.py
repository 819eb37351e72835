# SPDX-License-Identifier: Apache-2.0
"""``apply``: change a cloud so that it matches a fleet file."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nova_gpu_passthrough.cli import terminal
from nova_gpu_passthrough.cli.cloud_command import CloudCommand
from nova_gpu_passthrough.cli.gpu_command import CommandGroup
from nova_gpu_passthrough.cli.printable import printable
from nova_gpu_passthrough.errors import UserError

if TYPE_CHECKING:
    from nova_gpu_passthrough.cloud.apply.execution import RunOutcome
    from nova_gpu_passthrough.cloud.apply.plan import Plan
    from nova_gpu_passthrough.cloud.apply.record import Record
    from nova_gpu_passthrough.fleet.desired_state import DesiredState

#: The default format: a unified diff.
_DIFF = "diff"
#: Escape codes for the lines of a diff, by prefix, the longest first.
_DIFF_COLOURS = {"---": "1", "+++": "1", "@@": "36", "-": "31", "+": "32"}


class ApplyFleet(CloudCommand):
    """Apply a fleet file to a cloud: flavors, aggregates, traits, resource classes, limits.

    Prints the differences as a diff, then makes the changes; with --dry-run only prints them. A
    summary and the changes that are skipped, with their reasons, go to standard error. A second run
    changes nothing. If apply is interrupted or a service fails, run it again to resume.

    A record beside the fleet file lists what apply created. Apply deletes only what is in the
    record and no longer in the fleet file.

    Needs the role admin: in Nova for flavors, aggregates and quotas, in Placement for traits and
    resource classes, in Keystone for limits and the names of projects.

    Exit status: 0, or 1 with --dry-run while the cloud is not what the fleet file says (changes to
    make, or skipped ones; not what only --prune deletes), or 2 with an error.
    """

    examples = """
        nova-gpu apply --fleet fleet.yaml --dry-run
          show what would change; exit status 1 if the cloud differs from the file
        nova-gpu apply --fleet fleet.yaml
          make the changes
        nova-gpu apply --fleet fleet.yaml --dry-run -f json
          the same for programs
        nova-gpu apply --fleet fleet.yaml --prune --dry-run
          show also what apply did not create and would delete
    """
    group = CommandGroup.FLEET
    #: Remarks about the fleet file.
    _notes: Sequence[str] = ()

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's options."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--dry-run", action="store_true", help="only print the differences")
        parser.add_argument(
            "--prune",
            action="store_true",
            help="also delete what apply did not create: GPU flavors that are not in the fleet "
            "file, other hosts in its aggregates, other projects' limits on its GPUs, and whatever "
            "the file named in the past",
        )
        parser.add_argument(
            "--change-used",
            action="store_true",
            help="also change or delete flavors that servers use; the servers do not change",
        )
        parser.add_argument(
            "--record",
            metavar="FILE",
            type=Path,
            help="the record (default: beside the fleet file, FLEET.applied.yaml)",
        )
        parser.add_argument(
            "-f",
            "--format",
            choices=(_DIFF, "json", "yaml"),
            default=_DIFF,
            help="what to print on standard output: the differences (the default), or a document "
            "with every change, what became of it, and every change that is skipped",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Compare the cloud with the fleet file, print the differences, change the cloud."""
        # Imported here to keep nova-gpu --help fast.
        from nova_gpu_passthrough.fleet import derive_state, offers

        resolved = self.require_fleet(parsed_args)
        desired, flavors = derive_state.make(resolved)
        self._notes = [
            *offers.note_lines((*resolved.notes, *flavors.notes)),
            *(f"flavor {one.name} is refused: {one.reason}" for one in flavors.refused),
        ]
        self.print_notes(self._notes)
        from nova_gpu_passthrough.cloud.apply import record

        path = parsed_args.record or record.default_path(parsed_args.fleet)
        if parsed_args.dry_run:
            return self._compare(parsed_args, desired, path)
        with record.locked(path):
            return self._apply(parsed_args, desired, path)

    def _compare(self, options: argparse.Namespace, desired: "DesiredState", path: Path) -> int:
        from nova_gpu_passthrough.cloud.apply import comparison

        connection, known = self.connection(options), self._record(options, desired, path)
        plan = comparison.make_plan(connection, desired, known, options.prune, options.change_used)
        self._show(options, plan)
        if options.format != _DIFF:
            self._print_document(options, plan)
        return 0 if plan.is_matched else 1

    def _apply(self, options: argparse.Namespace, desired: "DesiredState", path: Path) -> int:
        from nova_gpu_passthrough.cloud.apply import comparison, execution, record, summary
        from nova_gpu_passthrough.cloud.apply.record import Ledger
        from nova_gpu_passthrough.cloud.apply.writer import CloudWriter

        known = self._record(options, desired, path)
        with terminal.progress_bar() as report_progress:
            api = CloudWriter(self.connection(options), report_progress)
            plan = comparison.compare(api, desired, known, options.prune, options.change_used)
        self._show(options, plan)
        sys.stdout.flush()
        self.interrupted = "the last request may not have finished; run it again to resume"
        ledger = Ledger(known, lambda new: record.save(path, new))
        outcome = execution.RunOutcome()
        try:
            with terminal.progress_bar() as report_progress:

                def report_changes(done: int, total: int) -> None:
                    if report_progress:
                        report_progress("changes", done, total)

                refusals = execution.run(api, plan, ledger, report_changes, outcome)
        finally:
            # Also of a run that ends early.
            if options.format != _DIFF:
                self._print_document(options, plan, outcome)
        self.print_notes(refusal.reason for refusal in refusals)
        count = len(plan.changes)
        if count:
            self.print_notes([summary.outcome_line(outcome.done(plan), len(refusals), plan)])
        if refusals:
            raise UserError(
                f"{len(refusals)} of {count} changes were refused; fix the causes reported above "
                "and run it again"
            )
        return 0

    def _record(self, options: argparse.Namespace, desired: "DesiredState", path: Path) -> "Record":
        """Load the record, or start a new one."""
        from nova_gpu_passthrough.cloud.apply import record

        cloud, known = record.cloud_identity(self.connection(options)), record.load(path)
        if known is None:
            return record.Record(desired.fleet, cloud)
        known.check(desired.fleet, cloud, path)
        return known

    def _show(self, options: argparse.Namespace, plan: "Plan") -> None:
        """Print the diff, unless another format was requested, and the summary."""
        from nova_gpu_passthrough.cloud.apply import summary

        for line in plan.diff().splitlines() if options.format == _DIFF else ():
            line = printable(line, "\t")
            print(_coloured_line(line) if terminal.shows_colours() else line)
        self.print_notes(plan.notes)
        self.print_notes(summary.plan_lines(plan))

    def _print_document(
        self, options: argparse.Namespace, plan: "Plan", outcome: "RunOutcome | None" = None
    ) -> None:
        from nova_gpu_passthrough.cloud.apply import plan_document
        from nova_gpu_passthrough.files import documents

        document = plan_document.make(plan, [*self._notes, *plan.notes], outcome)
        if options.format == "json":
            print(json.dumps(document, indent=2))
        else:
            print(documents.dump(document), end="")


def _coloured_line(line: str) -> str:
    code = next((code for start, code in _DIFF_COLOURS.items() if line.startswith(start)), None)
    return f"\x1b[{code}m{line}\x1b[0m" if code else line
