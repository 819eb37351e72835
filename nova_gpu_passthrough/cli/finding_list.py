# SPDX-License-Identifier: Apache-2.0
"""Lists of findings, for ``lint``, ``drift`` and ``host audit``: columns, grouping, a summary."""

import argparse
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from cliff.columns import FormattableColumn

from nova_gpu_passthrough.cli.listing import ColouredColumn, ListCommand
from nova_gpu_passthrough.cli.printable import printable
from nova_gpu_passthrough.cli.table import Layout
from nova_gpu_passthrough.inventory import finding_groups
from nova_gpu_passthrough.inventory.findings import VERDICT, Finding, Severity
from nova_gpu_passthrough.inventory.shell_fix import is_command

_ORDER = (Severity.FAILURE, Severity.WARNING, Severity.OK)


class FixColumn(FormattableColumn[str]):
    """A fix, whose commands are never broken."""

    def human_readable(self) -> str:
        """Return the script or the prose."""
        return printable(self._value, "\n")

    def machine_readable(self) -> str:
        """Return the script or the prose."""
        return self._value

    def lines(self) -> Sequence[Sequence[str]]:
        """Return for each line the parts between which it may break."""
        return [
            [line] if is_command(line) else line.split()
            for line in self.human_readable().splitlines()
        ]


#: How a column gets its cell from a finding.
_CELLS: dict[str, Any] = {
    "Severity": lambda finding: ColouredColumn(finding.severity),
    "Finding": lambda finding: finding.id,
    "Subject": lambda finding: finding.subject,
    "Found": lambda finding: finding.found,
    "Where": lambda finding: finding.source,
    "Fix": lambda finding: FixColumn(finding.fix),
    "Why": lambda finding: finding.why,
    "Remedy": lambda finding: str(finding.remedy),
}


class FindingListCommand(ListCommand):
    """A command that lists findings, the worst first.

    People get one row for findings that differ only in what they are about; programs get every
    finding.
    """

    layout = Layout(prose=("Subject", "Found", "Why"), heading=("Severity", "Finding"), blocks=True)
    long_columns: Collection[str] = ("Why",)
    columns: Sequence[str] = ("Severity", "Finding", "Subject", "Found", "Where", "Fix", "Why")
    #: What was checked, such as ``3 hosts, 7 flavors, 20 GPUs``; `take_action` sets it.
    checked = ""

    _numbers = ""

    def list_findings(
        self, options: argparse.Namespace, findings: Iterable[Finding]
    ) -> tuple[Sequence[str], Iterable[Any]]:
        """Return the columns and rows, for `take_action` to return."""
        shown = sorted(findings, key=lambda finding: _ORDER.index(finding.severity))
        problems = [finding.severity for finding in shown if finding.id != VERDICT]
        numbers = (
            count(problems.count(severity), severity)
            for severity in (Severity.FAILURE, Severity.WARNING)
        )
        self._numbers = ", ".join(text for text in numbers if not text.startswith("0 "))
        self.nothing = f"{self.nothing}: {self.checked} checked"
        if options.formatter == "table":
            shown = finding_groups.merge(shown)
        return self.columns, [tuple(_CELLS[name](one) for name in self.columns) for one in shown]

    def produce_output(
        self, parsed_args: argparse.Namespace, column_names: Sequence[str], data: Iterable[Any]
    ) -> int:
        """Print the list, then for people the numbers of problems."""
        status = super().produce_output(parsed_args, column_names, data)
        if parsed_args.formatter == "table" and self._numbers:
            self.inform(f"{self._numbers}: {self.checked} checked")
        return status


def count(number: int, noun: str) -> str:
    """Return a number with its noun, such as ``1 host`` or ``3 hosts``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
