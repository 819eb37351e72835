# SPDX-License-Identifier: Apache-2.0
"""``apply``: change a cloud so that it matches a fleet file."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from nova_gpu_passthrough.cli import terminal
from nova_gpu_passthrough.cli.cloud_command import CloudCommand
from nova_gpu_passthrough.cli.gpu_command import CommandGroup
from nova_gpu_passthrough.cli.printable import printable
from nova_gpu_passthrough.errors import UserError

if TYPE_CHECKING:
    from nova_gpu_passthrough.cloud.apply.plan import Plan
    from nova_gpu_passthrough.cloud.apply.record import Record
    from nova_gpu_passthrough.fleet.desired_state import DesiredState

#: Escape codes for the lines of a diff, by prefix, the longest first.
_DIFF_COLOURS = {"---": "1", "+++": "1", "@@": "36", "-": "31", "+": "32"}


class ApplyFleet(CloudCommand):
    """Apply a fleet file to a cloud: flavors, aggregates, traits, resource classes, limits.

    Prints the differences as a diff, then makes the changes; with --dry-run only prints them. A
    second run changes nothing. If apply is interrupted or a service fails, run it again to resume.

    A record beside the fleet file lists what apply created. Apply deletes only what is in the
    record and no longer in the fleet file. Skipped changes and their reasons go to standard error.

    Needs the role admin: in Nova for flavors, aggregates and quotas, in Placement for traits and
    resource classes, in Keystone for limits and the names of projects.

    Exit status: 0, or 1 with --dry-run and a difference, or 2 with an error.
    """

    examples = """
        nova-gpu apply --fleet fleet.yaml --dry-run
          show what would change; exit status 1 if anything would
        nova-gpu apply --fleet fleet.yaml
          make the changes
        nova-gpu apply --fleet fleet.yaml --prune --dry-run
          show also what apply did not create and would delete
    """
    group = CommandGroup.FLEET

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
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Compare the cloud with the fleet file, print the differences, change the cloud."""
        # Imported here to keep nova-gpu --help fast.
        from nova_gpu_passthrough.fleet import derive_state

        resolved = self.require_fleet(parsed_args)
        desired, flavors = derive_state.make(resolved)
        self.print_notes(map(str, resolved.notes))
        self.print_notes(map(str, flavors.notes))
        self.print_notes(
            f"flavor {refused.name} is refused: {refused.reason}" for refused in flavors.refused
        )
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
        self._show(plan)
        return 1 if plan.changes else 0

    def _apply(self, options: argparse.Namespace, desired: "DesiredState", path: Path) -> int:
        from nova_gpu_passthrough.cloud.apply import comparison, execution, record
        from nova_gpu_passthrough.cloud.apply.record import Ledger
        from nova_gpu_passthrough.cloud.apply.writer import CloudWriter

        known = self._record(options, desired, path)
        with terminal.progress_bar() as report_progress:
            api = CloudWriter(self.connection(options), report_progress)
            plan = comparison.compare(api, desired, known, options.prune, options.change_used)
        self._show(plan)
        sys.stdout.flush()
        self.interrupted = "the last request may not have finished; run it again to resume"
        ledger = Ledger(known, lambda new: record.save(path, new))
        with terminal.progress_bar() as report_progress:

            def report_changes(done: int, total: int) -> None:
                if report_progress:
                    report_progress("changes", done, total)

            refusals = execution.run(api, plan, ledger, report_changes)
        self.print_notes(refusal.reason for refusal in refusals)
        count = len(plan.changes)
        if refusals:
            raise UserError(
                f"{len(refusals)} of {count} changes were refused; fix the causes reported above "
                "and run it again"
            )
        if count:
            self.print_notes([f"{count} change{'s' if count > 1 else ''} done"])
        return 0

    def _record(self, options: argparse.Namespace, desired: "DesiredState", path: Path) -> "Record":
        """Load the record, or start a new one."""
        from nova_gpu_passthrough.cloud.apply import record

        cloud, known = record.cloud_identity(self.connection(options)), record.load(path)
        if known is None:
            return record.Record(desired.fleet, cloud)
        known.check(desired.fleet, cloud, path)
        return known

    def _show(self, plan: "Plan") -> None:
        for line in plan.diff().splitlines():
            line = printable(line, "\t")
            print(_coloured_line(line) if terminal.shows_colours() else line)
        self.print_notes(plan.notes)
        self.print_notes(f"skipped: {change}" for change in plan.skipped)
        if not plan.changes:
            self.print_notes([f"the cloud matches fleet {plan.desired.fleet}: nothing to change"])


def _coloured_line(line: str) -> str:
    code = next((code for start, code in _DIFF_COLOURS.items() if line.startswith(start)), None)
    return f"\x1b[{code}m{line}\x1b[0m" if code else line
