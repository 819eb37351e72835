# SPDX-License-Identifier: Apache-2.0
"""``report``: an HTML page of a cloud's GPU hosts, and a document of what is free."""

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from nova_gpu_passthrough.cli import common_options, terminal
from nova_gpu_passthrough.cli.cloud_command import CloudCommand
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import generated_files, reading

if TYPE_CHECKING:
    from nova_gpu_passthrough.cloud.report.snapshot import Snapshot
    from nova_gpu_passthrough.cloud.report.status_reading import StatusReading


class WriteReport(CloudCommand):
    """Write a report of GPU hosts: NUMA nodes, GPUs by state and server, servers that fit.

    The report is one HTML page that loads no other files and can be mailed or printed. It shows
    stranded GPUs, and the names of servers, users and projects. With --public it is a page for
    everyone, without names of these, nor of hosts and flavors that are not public.

    Free CPUs and memory by NUMA node, host groups, racks and missing GPUs need --fleet.

    Needs role admin, or policies that permit reading: see "An auditor" in the documentation.
    """

    examples = """
        nova-gpu report --fleet fleet.yaml --html gpus.html
          write the page
        nova-gpu report --os-cloud prod --html /var/www/gpus.html --quiet
          write it from a crontab: only errors are printed
        nova-gpu report --fleet fleet.yaml --public --html /var/www/gpus.html
          write a page for tenants, which nova-gpu available also reads
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's options."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--html", metavar="FILE", type=Path, help="write the page to this file")
        parser.add_argument(
            "--public",
            action="store_true",
            help="leave out of the page what names a tenant or host",
        )
        parser.add_argument(
            "--json",
            metavar="FILE",
            type=Path,
            help="write what is free to this file, for programs; it names no tenant or host",
        )
        common_options.add_force_option(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Read the cloud and write the files."""
        html, json, force = parsed_args.html, parsed_args.json, parsed_args.force
        if html is None and json is None:
            raise UserError("no file was named: give --html FILE, --json FILE or both")
        # First, because reading the cloud may take long.
        if html:
            generated_files.check_place(html)
            generated_files.check_files({html: ""}, force)
        if json:
            generated_files.check_place(json)
            _check_document(json, force)
        fleet, connection = self.load_fleet(parsed_args), self.connection(parsed_args)
        # Imported here to keep nova-gpu --help fast.
        from nova_gpu_passthrough.cloud.report import availability, snapshot, status_reading

        names = html is not None and not parsed_args.public
        with terminal.progress_bar() as report_progress:
            taken = snapshot.take(connection, fleet, report_progress, names=names)
            status = (
                status_reading.of_snapshot(connection, taken, fleet, report_progress)
                if names
                else None
            )
        counted = common_options.counted
        if html:
            text = _page(taken, html, status)
            gpus = sum(len(host.gpus) for host in taken.view.hosts)
            common_options.write_files(self, {html: text}, force, counted(gpus, "GPU"))
        if json:
            found = availability.build(taken)
            numbers = [counted(len(found.models), "model")]
            if found.flavors is not None:
                numbers.append(counted(len(found.flavors), "flavor"))
            text = availability.dump(found)
            # It was checked above, and has no seal.
            common_options.write_files(self, {json: text}, True, ", ".join(numbers))
        return 0


def _page(taken: "Snapshot", path: Path, status: "StatusReading | None") -> str:
    """Return the page; without a status, that for everyone."""
    from nova_gpu_passthrough.cloud.report import html_page

    command = ["nova-gpu", "report", "--html", str(path), *([] if status else ["--public"])]
    text = html_page.render(taken, reading=status) if status else html_page.render_public(taken)
    return generated_files.seal(text, shlex.join(command))


def _check_document(path: Path, force: bool) -> None:
    """Check that the file may be replaced: JSON has no place for a seal."""
    from nova_gpu_passthrough.cloud.report import availability

    if path.exists() and not force and not availability.is_document(reading.read_text(path)):
        raise UserError(
            f"{path}: not a document that nova-gpu report wrote; nothing was written; name another "
            "file, or add --force to replace it"
        )
