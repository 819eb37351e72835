# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu host ...``: whether a host can pass GPUs through."""

import argparse
import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cliff.command import Command

from nova_gpu_passthrough.cli import options as force_option
from nova_gpu_passthrough.cli import sources
from nova_gpu_passthrough.cli.columns import Coloured, wanted
from nova_gpu_passthrough.cli.listing import StatusLister
from nova_gpu_passthrough.inventory.findings import HOST, Finding, Severity
from nova_gpu_passthrough.inventory.model import Inventory

_SHORT = ("Severity", "Subject", "Finding", "Found", "Fix")
_LONG = ("Severity", "Subject", "Finding", "Found", "Source", "Why", "Fix", "Remedy")
_ATTRIBUTES = {"Finding": "id"}


class Audit(StatusLister):
    """Tell whether this host can pass GPUs through, what is wrong and how to fix it.

    Reads /sys and /proc, changes nothing, and needs no privileges; as root it also sees ACS and
    the slots' power limits. The table shows a drawing of the host, and what is wrong; other
    formats list all findings.

    Exit status: 0, or 1 with --strict and warnings, or 2 with failures.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Options of the command."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        sources.add_arguments(parser)
        parser.add_argument(
            "--all", action="store_true", help="show in the table what is well, too"
        )
        parser.add_argument(
            "--long", action="store_true", help="show in the table why, and where it was read"
        )
        parser.add_argument(
            "--strict", action="store_true", help="end with status 1 if there are warnings"
        )
        parser.add_argument(
            "--write", metavar="FILE", type=Path, help="write the inventory to FILE (YAML)"
        )
        force_option.add_force(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterable[Any]]:
        """Audit, write the inventory, return the findings."""
        inventory = sources.audit(parsed_args)
        if parsed_args.write:
            _write(inventory, parsed_args)
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
            # The worst first; within one severity in the order in which one fixes them.
            for severity in (Severity.FAILURE, Severity.WARNING, Severity.OK)
            for finding in inventory.findings
            if finding.severity is severity and (parsed_args.all or severity is not Severity.OK)
        ]
        return columns, [_row(finding, columns) for finding in _merged(shown)]


class Draw(Command):
    """Draw this host: NUMA nodes, PCIe switches, GPUs, NICs and links."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Options of the command."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        sources.add_arguments(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Audit and draw."""
        _draw(sources.audit(parsed_args))


def _merged(findings: Iterable[Finding]) -> list[Finding]:
    """One row for what is the same on several GPUs, with all their addresses."""
    subjects: dict[Finding, list[str]] = {}
    for finding in findings:
        # The source differs in the address only: the GPU's or a companion's, in its slot.
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
    return tuple(Coloured(value) if name == "Severity" else str(value) for name, value in values)


def _draw(inventory: Inventory) -> None:
    from rich.console import Console
    from rich.segment import Segment, Segments

    from nova_gpu_passthrough.cli.drawing import draw

    # Wide enough for every line: a terminal breaks lines itself, a file keeps them whole.
    console = Console(width=4096, highlight=False, no_color=not wanted())
    for line in console.render_lines(draw(inventory), pad=False):
        console.print(Segments([*line, Segment.line()]), end="")


def _write(inventory: Inventory, options: argparse.Namespace) -> None:
    from nova_gpu_passthrough.files import writing
    from nova_gpu_passthrough.inventory import store

    text = store.dump(inventory, f"nova-gpu host audit --write {options.write}")
    writing.write_all({options.write: text}, options.force)
