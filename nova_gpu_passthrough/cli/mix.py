# SPDX-License-Identifier: Apache-2.0
"""``mix``: the mix of a cloud's GPU servers, for the scheduler's policy ``fragmentation``."""

import argparse
import shlex
import sys
from pathlib import Path

from nova_gpu_passthrough.cli import common_options
from nova_gpu_passthrough.cli.cloud_command import CloudCommand
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import generated_files


class WriteMix(CloudCommand):
    """Write the mix of GPU servers: how many servers there are of each request class.

    nova-scheduler's policy fragmentation keeps GPUs usable for this mix; [gpu_passthrough] mix_file
    names the file, which the scheduler reads again when it changes. Without --write the mix is
    printed. Servers that request the same resources are one class, whatever their flavors. You may
    edit the numbers, for instance to reserve capacity for servers that you expect.

    Needs --fleet, and role admin or policies that permit reading (see "An auditor" in the
    documentation).
    """

    examples = """
        nova-gpu mix --fleet fleet.yaml
          print the mix
        nova-gpu mix --fleet fleet.yaml --write /etc/nova/mix.yaml
          write it where nova-scheduler reads it
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's options."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--write", metavar="FILE", type=Path, help="write to this file")
        common_options.add_force_option(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Read the cloud, count its servers, print or write the mix."""
        if parsed_args.write:
            # First, because reading the cloud may take long.
            generated_files.check_place(parsed_args.write)
            generated_files.check_files({parsed_args.write: ""}, parsed_args.force)
        fleet = self.require_fleet(parsed_args)
        view = self.read_view(parsed_args)
        # Imported here to keep nova-gpu --help fast.
        from nova_gpu_passthrough.cloud.fit import server_mix
        from nova_gpu_passthrough.policies import mix

        counts, notes = server_mix.count(view, fleet)
        self.print_notes([*view.notes, *notes])
        if not counts:
            raise UserError(
                "no server on the fleet's hosts has GPUs by an alias of the fleet, so there is no "
                "mix; without a mix_file the scheduler learns it from requests"
            )
        text = mix.dump(counts)
        if not parsed_args.write:
            sys.stdout.write(text)
            return 0
        command = shlex.join(["nova-gpu", "mix", "--write", str(parsed_args.write)])
        common_options.write_files(
            self,
            {parsed_args.write: generated_files.seal(text, command)},
            parsed_args.force,
            common_options.counted(sum(counts.values()), "server"),
        )
        return 0
