# SPDX-License-Identifier: Apache-2.0
"""``report``: the cloud's GPU hosts as a page."""

import argparse
import shlex
from pathlib import Path

from nova_gpu_passthrough.cli import options, progress
from nova_gpu_passthrough.cli.cloud import CloudCommand
from nova_gpu_passthrough.files import writing


class Report(CloudCommand):
    """Draw GPU hosts: NUMA nodes, GPUs by state and server, what still fits, what is stranded.

    The page is one HTML file that loads nothing and can be mailed or printed. It names servers and
    projects.

    Free CPUs and memory by NUMA node, host groups and missing GPUs take --fleet.

    Needs the role admin in a project.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Options of the command."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "--html", metavar="FILE", type=Path, required=True, help="write the page to this file"
        )
        options.add_force(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Read the cloud and write the page."""
        # Before the cloud is read, which may take long.
        writing.check({parsed_args.html: ""}, parsed_args.force)
        fleet, connection = self.fleet(parsed_args), self.connection(parsed_args)
        # Modules are imported where they are used: nova-gpu --help shall not wait for them.
        from nova_gpu_passthrough.cloud.report import snapshot
        from nova_gpu_passthrough.cloud.report.page import page

        with progress.shown() as tell:
            found = snapshot.take(connection, fleet, tell)
        command = shlex.join(["nova-gpu", "report", "--html", str(parsed_args.html)])
        text = writing.seal(page.render(found), command)
        writing.write_all({parsed_args.html: text}, parsed_args.force)
        return 0
