# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu host audit`` and ``host draw``: whether this host can pass GPUs through."""

import argparse
import dataclasses
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from nova_gpu_passthrough.cli import audit_options, common_options
from nova_gpu_passthrough.cli.gpu_command import CommandGroup, GpuCommand
from nova_gpu_passthrough.cli.listing import ColouredColumn, ListCommand
from nova_gpu_passthrough.cli.printable import printable, raw
from nova_gpu_passthrough.cli.table import Layout
from nova_gpu_passthrough.cli.terminal import shows_colours
from nova_gpu_passthrough.inventory.findings import HOST, Finding, Severity
from nova_gpu_passthrough.inventory.model import Inventory

_SHORT = ("Severity", "Subject", "Finding", "Found", "Fix")
_LONG = ("Severity", "Subject", "Finding", "Found", "Source", "Why", "Fix", "Remedy")
_ATTRIBUTES = {"Finding": "id"}


class AuditHost(ListCommand):
    """Check whether this host can pass GPUs through; list what is wrong and how to fix it.

    Reads /sys and /proc, changes nothing, and needs no privileges; as root it also reads ACS and
    the slots' power limits. The format table draws the host and lists its problems; other formats
    list all findings.

    Exit status: 0, or 1 with --strict and warnings, or 2 with failures.
    """

    examples = """
        nova-gpu host audit
          check this host
        nova-gpu host audit --write gpu01.yaml --host gpu01
          check it, and write the inventory for the fleet file
        nova-gpu host audit --inventory gpu01.yaml --long
          check what an inventory says, with reasons and sources
    """
    group = CommandGroup.HOST
    layout = Layout(
        prose=("Found", "Why", "Fix"), heading=("Severity", "Finding", "Subject"), blocks=True
    )
    nothing = "No problems"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's options."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        audit_options.add_audit_options(parser)
        parser.add_argument(
            "--all", action="store_true", help="also show findings without a problem in the table"
        )
        parser.add_argument(
            "--long", action="store_true", help="also show reasons and sources in the table"
        )
        parser.add_argument(
            "--strict", action="store_true", help="end with status 1 if there are warnings"
        )
        parser.add_argument(
            "--write", metavar="FILE", type=Path, help="write the inventory to FILE (YAML)"
        )
        common_options.add_force_option(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Any]]:
        """Audit the host, write the inventory, list the findings."""
        inventory = audit_options.run_audit(parsed_args)
        if parsed_args.write:
            _write(self, inventory, parsed_args)
        severities = {finding.severity for finding in inventory.findings}
        if Severity.FAILURE in severities:
            self.status = 2
        elif Severity.WARNING in severities and parsed_args.strict:
            self.status = 1
        if parsed_args.formatter != "table":
            return _LONG, [_row(finding, _LONG) for finding in inventory.findings]
        _draw(inventory)
        columns: Sequence[str] = _LONG if parsed_args.long else _SHORT
        shown = [
            finding
            # The worst first; within one severity in the order in which to fix them.
            for severity in (Severity.FAILURE, Severity.WARNING, Severity.OK)
            for finding in inventory.findings
            if finding.severity is severity and (parsed_args.all or severity is not Severity.OK)
        ]
        return columns, [_row(finding, columns) for finding in _merged(shown)]


class DrawHost(GpuCommand):
    """Draw this host: NUMA nodes, PCIe switches, GPUs, NICs and links."""

    examples = """
        nova-gpu host draw
          draw this host
        nova-gpu host draw --hwloc gpu01.xml
          draw the host from which lstopo --of xml gpu01.xml comes
    """
    group = CommandGroup.HOST

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's options."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        audit_options.add_audit_options(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Audit the host and draw it."""
        _draw(audit_options.run_audit(parsed_args))


def _merged(findings: Iterable[Finding]) -> list[Finding]:
    """Merge the findings that are the same on several GPUs into one with all their addresses."""
    subjects: dict[Finding, list[str]] = {}
    for finding in findings:
        # Sources differ only in the address, which is that of the GPU or of a companion.
        source = finding.source
        if finding.subject != HOST:
            source = source.replace(finding.subject.rpartition(".")[0], "*")
        key = dataclasses.replace(finding, subject="", source=source)
        subjects.setdefault(key, []).append(finding.subject)
    return [
        dataclasses.replace(finding, subject="\n".join(dict.fromkeys(names)))
        for finding, names in subjects.items()
    ]


def _row(finding: Finding, columns: Iterable[str]) -> tuple[Any, ...]:
    values = ((name, getattr(finding, _ATTRIBUTES.get(name, name.lower()))) for name in columns)
    return tuple(
        ColouredColumn(value) if name == "Severity" else str(value) for name, value in values
    )


def _draw(inventory: Inventory) -> None:
    from rich.console import Console
    from rich.segment import Segment, Segments

    from nova_gpu_passthrough.cli.drawing import draw

    # Wide enough for every line: a terminal wraps lines itself, a file keeps them whole.
    console = Console(
        file=raw(sys.stdout), width=4096, highlight=False, no_color=not shows_colours()
    )
    for line in console.render_lines(draw(inventory), pad=False):
        parts = [Segment(printable(text), style) for text, style, _ in line]
        console.print(Segments([*parts, Segment.line()]), end="")


def _write(command: GpuCommand, inventory: Inventory, options: argparse.Namespace) -> None:
    from nova_gpu_passthrough.inventory import store

    text = store.dump(inventory, f"nova-gpu host audit --write {options.write}")
    gpus = common_options.counted(len(inventory.gpus), "GPU")
    common_options.write_files(command, {options.write: text}, options.force, gpus)
