# SPDX-License-Identifier: Apache-2.0
"""``mix``: which servers with GPUs a cloud has, for the scheduler's policy ``fragmentation``."""

import argparse
import shlex
import sys
from pathlib import Path

from nova_gpu_passthrough.cli import options
from nova_gpu_passthrough.cli.cloud import CloudCommand
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import writing


class Mix(CloudCommand):
    """Write the mix of servers with GPUs: how many there are, by what they ask of their host.

    nova-scheduler's policy fragmentation keeps GPUs usable for this mix; [gpu_passthrough] mix_file
    names the file, which is read again when it changes. Without --write it is printed. Servers that
    ask for the same are one class, whatever their flavors. You may edit the numbers, for instance
    to make room for servers that are still to come.

    Needs the role admin in a project, and --fleet.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Options of the command."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--write", metavar="FILE", type=Path, help="write to this file")
        options.add_force(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Read the cloud, count its servers, print or write the mix."""
        if parsed_args.write:
            # Before the cloud is read, which may take long.
            writing.check({parsed_args.write: ""}, parsed_args.force)
        fleet = self.required_fleet(parsed_args)
        view = self.view(parsed_args)
        # Modules are imported where they are used: nova-gpu --help shall not wait for them.
        from nova_gpu_passthrough.cloud.fit import mix
        from nova_gpu_passthrough.policies import mix as files

        counts, notes = mix.count(view, fleet)
        self.tell([*view.notes, *notes])
        if not counts:
            raise UserError(
                "no server on the fleet's hosts has GPUs by an alias of the fleet, so there is no "
                "mix; without a mix_file the scheduler learns it from requests"
            )
        text = files.dump(counts)
        if not parsed_args.write:
            sys.stdout.write(text)
            return 0
        command = shlex.join(["nova-gpu", "mix", "--write", str(parsed_args.write)])
        writing.write_all({parsed_args.write: writing.seal(text, command)}, parsed_args.force)
        return 0
