# SPDX-License-Identifier: Apache-2.0
"""The program ``nova-gpu``."""

import logging
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from cliff.app import App
from cliff.commandmanager import CommandManager

from nova_gpu_passthrough.errors import UserError

#: Entry points of commands: ``host_audit`` is ``nova-gpu host audit``.
NAMESPACE = "nova_gpu_passthrough.cli"
#: What a command returns that was given bad input or could not do its work.
ERROR = 2


class NovaGpu(App):
    """Runs one command; an error of any kind ends it with one sentence and status 2."""

    NAME = "nova-gpu"
    LOG = logging.getLogger(NAME)

    def __init__(self) -> None:
        super().__init__(
            description="Whole-GPU PCI passthrough on OpenStack: audit hosts, generate "
            "configuration.",
            version=metadata.version("nova-gpu-passthrough"),
            command_manager=CommandManager(NAMESPACE),
            deferred_help=True,
        )
        self._failed = False

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
