# SPDX-License-Identifier: Apache-2.0
"""What all commands share that talk to a cloud, as ``nova-gpu ...`` and ``openstack gpu ...``."""

import argparse
import logging
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cliff.command import Command

from nova_gpu_passthrough.cli import options
from nova_gpu_passthrough.errors import UserError

if TYPE_CHECKING:
    from openstack.connection import Connection

    from nova_gpu_passthrough.cloud.view.model import CloudView
    from nova_gpu_passthrough.fleet.resolve import Resolved

#: What a command returns that could not do its work.
ERROR = 2


class CloudCommand(Command):
    """Goes before cliff's Lister, ShowOne or StatusLister among the bases of a command.

    Whatever goes wrong, the command ends with one sentence and status 2.
    """

    #: The role in Keystone that the command needs; told to who lacks it.
    role = "admin"
    #: What the sentence says after Ctrl-C. A command that changes the cloud has its own.
    interrupted = "nothing was changed in the cloud"
    #: osc-lib would authenticate before the command runs, and tell failures in its own words.
    auth_required = False

    _connection: "Connection | None" = None

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Options of all these commands."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        options.add_fleet(parser)
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run the command and return its exit status.

        :raises UserError: in ``nova-gpu``, which tells it and ends with status 2
        """
        from nova_gpu_passthrough.cloud import failures

        try:
            try:
                with failures.translated(self.role, lambda: self._connection):
                    return super().run(parsed_args)
            except KeyboardInterrupt:
                raise UserError(f"interrupted: {self.interrupted}") from None
        except UserError as error:
            if not self._in_openstack or self.app.options.debug:
                raise
            self.app.LOG.error(error)
            return ERROR

    def connection(self, parsed_args: argparse.Namespace) -> "Connection":
        """The connection to the cloud; the same one each time.

        :raises UserError: if a file with clouds is malformed
        """
        if self._connection is None:
            # Modules are imported where they are used: nova-gpu --help shall not wait for them.
            from nova_gpu_passthrough.cloud import connection

            if self.app.options.verbose_level <= 1 and not self.app.options.debug:
                # What goes wrong is told in one sentence, at the end.
                for name in ("keystoneauth", "openstack", "urllib3"):
                    logging.getLogger(name).setLevel(logging.ERROR)
            if self._in_openstack:
                self._connection = connection.connect_shell(self.app)
            else:
                registered = getattr(self.app, "cloud_options", None)
                self._connection = connection.connect(registered, self.app.options)
        return self._connection

    def fleet(self, parsed_args: argparse.Namespace) -> "Resolved | None":
        """The fleet that ``--fleet`` names, with its inventories; None without."""
        return options.load(parsed_args)

    def required_fleet(self, parsed_args: argparse.Namespace) -> "Resolved":
        """The same; UserError if none was named."""
        return options.required(parsed_args)

    def view(self, parsed_args: argparse.Namespace, servers: bool = True) -> "CloudView":
        """The cloud's GPU hosts, read with the fleet if there is one; slow on large clouds.

        :param servers: whether to read servers, too, and to judge who holds which device
        """
        from nova_gpu_passthrough.cli import progress

        # Before anything is asked of the cloud: a fleet file is the sooner fixed.
        fleet = self.fleet(parsed_args)
        connection = self.connection(parsed_args)
        from nova_gpu_passthrough.cloud.view import read

        with progress.shown() as tell:
            return read.read(connection, fleet, servers, tell)

    def tell(self, notes: Iterable[str]) -> None:
        """Print what is not sure on standard error."""
        for note in notes:
            print(note, file=sys.stderr)

    @property
    def _in_openstack(self) -> bool:
        app: Any = self.app
        return hasattr(app, "client_manager")
