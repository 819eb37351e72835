# SPDX-License-Identifier: Apache-2.0
"""The base class of commands that connect to a cloud: ``nova-gpu`` and ``openstack gpu``."""

import argparse
import logging
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from nova_gpu_passthrough.cli import common_options
from nova_gpu_passthrough.cli.gpu_command import CommandGroup, GpuCommand
from nova_gpu_passthrough.cli.printable import printable, printable_output
from nova_gpu_passthrough.errors import UserError

if TYPE_CHECKING:
    from openstack.connection import Connection

    from nova_gpu_passthrough.cloud.view.model import CloudView
    from nova_gpu_passthrough.cloud.view.owners import Owners
    from nova_gpu_passthrough.fleet.resolve import ResolvedFleet


class CloudCommand(GpuCommand):
    """A command that connects to a cloud; any failure ends it with one sentence and status 2.

    Among a command's base classes it precedes ListCommand or cliff's ShowOne.
    """

    #: The role in Keystone that the command needs, for the message to users without it.
    role = "admin"
    group = CommandGroup.CLOUD
    interrupted = "nothing was changed in the cloud"
    #: osc-lib would authenticate before the command runs, and report failures in its own words.
    auth_required = False

    _connection: "Connection | None" = None

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return a parser with the options that all these commands share."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        common_options.add_fleet_option(parser)
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run the command and return its exit status.

        :raises UserError: in ``nova-gpu``, which prints it and exits with status 2
        """
        from nova_gpu_passthrough.cloud import failures

        try:
            # In the program openstack, its own streams are unchanged.
            with (
                printable_output(),
                failures.as_user_errors(self.role, lambda: self._connection),
            ):
                return super().run(parsed_args)
        except UserError as error:
            if not self._in_openstack or self.app.options.debug:
                raise
            self.app.LOG.error(printable(str(error)))
            return error.status

    def connection(self, parsed_args: argparse.Namespace) -> "Connection":
        """Connect to the cloud; later calls return the same connection.

        :raises UserError: if clouds.yaml or a file beside it is malformed
        """
        if self._connection is None:
            # Imported here to keep nova-gpu --help fast.
            from nova_gpu_passthrough.cloud import connection

            if self.app.options.verbose_level <= 1 and not self.app.options.debug:
                # The command reports a failure in one sentence, at the end.
                for name in ("keystoneauth", "openstack", "urllib3"):
                    logging.getLogger(name).setLevel(logging.ERROR)
            if self._in_openstack:
                self._connection = connection.connect_shell(self.app)
            else:
                registered = getattr(self.app, "cloud_options", None)
                self._connection = connection.connect(registered, self.app.options)
        return self._connection

    def load_fleet(self, parsed_args: argparse.Namespace) -> "ResolvedFleet | None":
        """Load the fleet file with its inventories; return None if none was given."""
        return common_options.load_fleet(parsed_args)

    def require_fleet(self, parsed_args: argparse.Namespace) -> "ResolvedFleet":
        """Load the fleet file; raise UserError if none was given."""
        return common_options.require_fleet(parsed_args)

    def read_view(self, parsed_args: argparse.Namespace, servers: bool = True) -> "CloudView":
        """Read the cloud's GPU hosts, with the fleet if there is one; slow on large clouds.

        :param servers: whether to read servers, too, and to find which of them has which device
        """
        from nova_gpu_passthrough.cli import terminal

        # First, so that an invalid fleet file is reported before a long reading of the cloud.
        fleet = self.load_fleet(parsed_args)
        connection = self.connection(parsed_args)
        from nova_gpu_passthrough.cloud.view import read

        with terminal.progress_bar() as report_progress:
            return read.read(connection, fleet, servers, report_progress)

    def read_owners(self, parsed_args: argparse.Namespace, view: "CloudView") -> "Owners":
        """Read the names of projects, and of the users who have servers with devices."""
        from nova_gpu_passthrough.cloud.view import owners
        from nova_gpu_passthrough.cloud.view.reader import CloudReader

        return owners.read(CloudReader(self.connection(parsed_args)), view.device_servers)

    def read_reserving(self, parsed_args: argparse.Namespace, view: "CloudView") -> "Owners":
        """Read the names of projects, if hosts are reserved for some."""
        from nova_gpu_passthrough.cloud.view import owners
        from nova_gpu_passthrough.cloud.view.reader import CloudReader

        if all(host.reserved_for is None for host in view.hosts):
            return owners.Owners()
        return owners.read(CloudReader(self.connection(parsed_args)), ())

    def print_notes(self, notes: Iterable[str]) -> None:
        """Print notes on standard error."""
        for note in notes:
            print(note, file=sys.stderr)
