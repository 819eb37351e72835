# SPDX-License-Identifier: Apache-2.0
"""``report``: an HTML page of a cloud's GPU hosts."""

import argparse
import shlex
from pathlib import Path

from nova_gpu_passthrough.cli import common_options, terminal
from nova_gpu_passthrough.cli.cloud_command import CloudCommand
from nova_gpu_passthrough.files import generated_files


class WriteReport(CloudCommand):
    """Write a report of GPU hosts: NUMA nodes, GPUs by state and server, servers that fit.

    The report is one HTML page that loads no other files and can be mailed or printed. It shows
    stranded GPUs, and the names of servers and projects.

    Free CPUs and memory by NUMA node, host groups and missing GPUs need --fleet.

    Needs role admin, or policies that permit reading: see "An auditor" in the documentation.
    """

    examples = """
        nova-gpu report --fleet fleet.yaml --html gpus.html
          write the page
        nova-gpu report --os-cloud prod --html /var/www/gpus.html --quiet
          write it from a crontab: only errors are printed
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's options."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "--html", metavar="FILE", type=Path, required=True, help="write the page to this file"
        )
        common_options.add_force_option(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Read the cloud and write the page."""
        # First, because reading the cloud may take long.
        generated_files.check_place(parsed_args.html)
        generated_files.check_files({parsed_args.html: ""}, parsed_args.force)
        fleet, connection = self.load_fleet(parsed_args), self.connection(parsed_args)
        # Imported here to keep nova-gpu --help fast.
        from nova_gpu_passthrough.cloud.report import html_page, snapshot

        with terminal.progress_bar() as report_progress:
            taken = snapshot.take(connection, fleet, report_progress)
        command = shlex.join(["nova-gpu", "report", "--html", str(parsed_args.html)])
        text = generated_files.seal(html_page.render(taken), command)
        gpus = sum(len(host.gpus) for host in taken.view.hosts)
        common_options.write_files(
            self, {parsed_args.html: text}, parsed_args.force, common_options.counted(gpus, "GPU")
        )
        return 0
