# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu host audit`` and ``host draw``: whether this host can pass GPUs through."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from nova_gpu_passthrough.cli import audit_options, common_options
from nova_gpu_passthrough.cli.finding_list import FindingListCommand, count
from nova_gpu_passthrough.cli.gpu_command import CommandGroup, GpuCommand
from nova_gpu_passthrough.cli.printable import printable, raw
from nova_gpu_passthrough.cli.terminal import shows_colours
from nova_gpu_passthrough.inventory.findings import Severity
from nova_gpu_passthrough.inventory.model import Inventory


class AuditHost(FindingListCommand):
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
    columns = ("Severity", "Finding", "Subject", "Found", "Fix", "Where", "Why", "Remedy")
    long_columns = ("Where", "Why", "Remedy")
    nothing = "No problems"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's options."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        audit_options.add_audit_options(parser)
        parser.add_argument(
            "--all", action="store_true", help="also show findings without a problem in the table"
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
        self.checked = count(len(inventory.gpus), "GPU")
        if parsed_args.formatter != "table":
            return self.list_findings(parsed_args, inventory.findings)
        _draw(inventory)
        return self.list_findings(
            parsed_args,
            [f for f in inventory.findings if parsed_args.all or f.severity is not Severity.OK],
        )


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
