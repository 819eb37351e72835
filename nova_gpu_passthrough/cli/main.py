# SPDX-License-Identifier: Apache-2.0
"""The program ``nova-gpu``."""

import logging
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

from cliff import command
from cliff.app import App
from cliff.commandmanager import CommandManager

from nova_gpu_passthrough.errors import EXIT_STATUS, UserError

if TYPE_CHECKING:
    from nova_gpu_passthrough.cloud.connection import RegisteredOptions

#: Namespace of the commands' entry points: ``host_audit`` is ``nova-gpu host audit``.
NAMESPACE = "nova_gpu_passthrough.cli"
#: The distributions of all commands, by module. Otherwise cliff reads the metadata of all installed
#: distributions to show a command's own in the list of commands (cliff/help.py): in Nova's
#: environment that takes most of the time of nova-gpu --help.
_DISTRIBUTIONS = {"nova_gpu_passthrough": "nova-gpu-passthrough", "cliff": "cliff"}
_INTERRUPTED = 130
#: Prefixes of openstacksdk's options. One such option on the command line registers them all.
_CLOUD_OPTIONS = ("--os-", "--os_", "--insecure", "--timeout")


class NovaGpu(App):
    """The program: runs one command; any error ends it with one sentence and status 2."""

    NAME = "nova-gpu"
    LOG = logging.getLogger(NAME)

    def __init__(self) -> None:
        # Fill cliff's cache. If a later cliff renames it, cliff reads the metadata itself again.
        command._dists_by_mods = _DISTRIBUTIONS  # type: ignore[assignment]
        super().__init__(
            description="Whole-GPU PCI passthrough on OpenStack: audit hosts, generate "
            "configuration, apply it to a cloud and monitor it. Commands that connect to a cloud "
            "accept --os-cloud NAME, all other --os-... options of the openstack program, and the "
            "corresponding environment variables.",
            version=metadata.version("nova-gpu-passthrough"),
            command_manager=CommandManager(NAMESPACE),
            deferred_help=True,
        )
        self._failed = False
        #: The options of openstacksdk, if the command line has any.
        self.cloud_options: RegisteredOptions | None = None

    def run(self, argv: list[str]) -> int:
        """Run the command that the arguments name, and return its exit status."""
        # Only if needed: importing openstacksdk takes a second.
        if any(word.startswith(_CLOUD_OPTIONS) for word in argv):
            from nova_gpu_passthrough.cloud import connection

            try:
                self.cloud_options = connection.register_options(self.parser, argv)
            except UserError as error:
                print(error, file=self.stderr)
                return EXIT_STATUS
            except KeyboardInterrupt:
                # The status that cliff returns in this case.
                return _INTERRUPTED
        status: int = super().run(argv)
        return status

    def interact(self) -> None:
        """Print the help if no command was given."""
        self.options.deferred_help = True
        self.print_help_if_requested()

    def clean_up(self, cmd: Any, result: int, err: BaseException | None) -> None:
        """Remember that a command failed: cliff itself would exit with status 1."""
        self._failed = isinstance(err, Exception)
        if self._failed and not isinstance(err, UserError | BrokenPipeError):
            # Cliff has logged the message, which may be unclear without the type.
            self.LOG.error("(%s; add --debug to see the traceback)", type(err).__name__)

    def run_subcommand(self, argv: list[str]) -> int:
        """Run one command and return its exit status."""
        status: int = super().run_subcommand(argv)
        return EXIT_STATUS if self._failed else status


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``nova-gpu`` with these arguments, by default those of the process."""
    status: int = NovaGpu().run(list(sys.argv[1:] if argv is None else argv))
    return status


if __name__ == "__main__":
    sys.exit(main())
