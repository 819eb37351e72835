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

from nova_gpu_passthrough.errors import UserError

if TYPE_CHECKING:
    from nova_gpu_passthrough.cloud.connection import Registered

#: Entry points of commands: ``host_audit`` is ``nova-gpu host audit``.
NAMESPACE = "nova_gpu_passthrough.cli"
#: The distributions of all commands, by module. Cliff's list of commands names another than the
#: program's own, and reads the metadata of all that is installed to find it (cliff/help.py): in
#: Nova's environment that is most of the time which nova-gpu --help takes.
_DISTRIBUTIONS = {"nova_gpu_passthrough": "nova-gpu-passthrough", "cliff": "cliff"}
#: What a command returns that was given bad input or could not do its work.
ERROR = 2
_INTERRUPTED = 130
#: What openstacksdk's options begin with; --os-cloud and its like are enough to have them all.
_CLOUD_OPTIONS = ("--os-", "--os_", "--insecure", "--timeout")


class NovaGpu(App):
    """Runs one command; an error of any kind ends it with one sentence and status 2."""

    NAME = "nova-gpu"
    LOG = logging.getLogger(NAME)

    def __init__(self) -> None:
        # Where cliff keeps what it has found. Should that change, it looks for itself again.
        command._dists_by_mods = _DISTRIBUTIONS  # type: ignore[assignment]
        super().__init__(
            description="Whole-GPU PCI passthrough on OpenStack: audit hosts, generate "
            "configuration, apply it to a cloud and watch it. Commands that talk to a cloud take "
            "--os-cloud NAME and all other --os-... options of the openstack program, or the "
            "environment variables of these.",
            version=metadata.version("nova-gpu-passthrough"),
            command_manager=CommandManager(NAMESPACE),
            deferred_help=True,
        )
        self._failed = False
        #: Openstacksdk's options, if the command line has any.
        self.cloud_options: Registered | None = None

    def run(self, argv: list[str]) -> int:
        """Run the command that the arguments name, and return its exit status."""
        # Not always: openstacksdk takes a second to import.
        if any(word.startswith(_CLOUD_OPTIONS) for word in argv):
            from nova_gpu_passthrough.cloud import connection

            try:
                self.cloud_options = connection.register(self.parser, argv)
            except UserError as error:
                print(error, file=self.stderr)
                return ERROR
            except KeyboardInterrupt:
                # As cliff does later on.
                return _INTERRUPTED
        status: int = super().run(argv)
        return status

    def interact(self) -> None:
        """Without a command there is nothing to do but to tell which there are."""
        self.options.deferred_help = True
        self.print_help_if_requested()

    def clean_up(self, cmd: Any, result: int, err: BaseException | None) -> None:
        """Note that a command failed: cliff itself would end with 1."""
        self._failed = isinstance(err, Exception)
        if self._failed and not isinstance(err, UserError | BrokenPipeError):
            # Its message, which cliff has logged, may be no sentence.
            self.LOG.error("(%s; add --debug to see where it comes from)", type(err).__name__)

    def run_subcommand(self, argv: list[str]) -> int:
        """Run a command and return its exit status."""
        status: int = super().run_subcommand(argv)
        return ERROR if self._failed else status


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``nova-gpu`` with these arguments, or the program's own."""
    status: int = NovaGpu().run(list(sys.argv[1:] if argv is None else argv))
    return status


if __name__ == "__main__":
    sys.exit(main())
