# SPDX-License-Identifier: Apache-2.0
"""The program ``nova-gpu``."""

import argparse
import logging
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

from cliff import command
from cliff.app import App
from cliff.commandmanager import CommandManager

from nova_gpu_passthrough.cli import completion, program_help, start
from nova_gpu_passthrough.cli.gpu_command import PROGRAM, with_short_errors
from nova_gpu_passthrough.cli.printable import printable_output
from nova_gpu_passthrough.errors import EXIT_STATUS, UserError, did_you_mean

if TYPE_CHECKING:
    from nova_gpu_passthrough.cloud.connection import RegisteredOptions

#: Namespace of the commands' entry points: ``host_audit`` is ``nova-gpu host audit``.
NAMESPACE = "nova_gpu_passthrough.cli"
#: The distributions of all commands, by module. Otherwise cliff reads the metadata of all installed
#: distributions to show a command's own in its help (cliff/command.py): in Nova's environment that
#: takes most of the time of nova-gpu --help.
_DISTRIBUTIONS = {"nova_gpu_passthrough": "nova-gpu-passthrough", "cliff": "cliff"}
#: Prefixes of openstacksdk's options. One such option on the command line registers them all.
_CLOUD_OPTIONS = ("--os-", "--os_", "--insecure", "--timeout")


class NovaGpu(App):
    """The program: runs one command; any error ends it with one sentence and status 2."""

    NAME = PROGRAM
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
        self.command_manager.add_command("help", program_help.ShowHelp)
        self.command_manager.add_command("complete", completion.PrintCompletion)
        self._error_status = 0
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
                print(f"{self.NAME}: {error}", file=self.stderr)
                return error.status
        status: int = super().run(argv)
        return status

    def build_option_parser(self, *arguments: Any, **options: Any) -> argparse.ArgumentParser:
        """Return the parser of the options that precede the command."""
        parser = super().build_option_parser(*arguments, **options)
        parser.prog = self.NAME
        return with_short_errors(parser)

    def configure_logging(self) -> None:
        """Let the messages on standard error begin with the program's name."""
        super().configure_logging()
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is self.stderr:
                handler.setFormatter(_MessageFormatter())

    def interact(self) -> None:
        """Print the help if no command was given."""
        self.options.deferred_help = True
        self.print_help_if_requested()

    def print_help_if_requested(self) -> None:
        """Print the list of all commands, and exit, if the only argument is --help."""
        if self.options.deferred_help:
            program_help.print_help(self)
            sys.exit(0)

    def prepare_to_run_command(self, cmd: command.Command) -> None:
        """Let Ctrl-C raise KeyboardInterrupt, which the command handles."""
        start.raise_on_interrupt()

    def clean_up(self, cmd: Any, result: int, err: BaseException | None) -> None:
        """Remember that a command failed: cliff itself would exit with status 1."""
        if isinstance(err, Exception):
            self._error_status = err.status if isinstance(err, UserError) else EXIT_STATUS

    def run_subcommand(self, argv: list[str]) -> int:
        """Run one command and return its exit status."""
        try:
            self.command_manager.find_command(argv)
        except ValueError:
            self.LOG.error(self.unknown(argv))
            return EXIT_STATUS
        status: int = super().run_subcommand(argv)
        return self._error_status or status

    def unknown(self, argv: Sequence[str]) -> str:
        """Return the message about a command line that names no command."""
        if argv[0].startswith("-"):
            known = [name for action in self.parser._actions for name in action.option_strings]
            what = f"unknown option {argv[0]}"
            return f"{what}{did_you_mean(argv[0], known)} (see {self.NAME} --help)"
        names = [name for name, _ in self.command_manager]
        words = [*argv]
        while words and words[-1].startswith("-"):
            words.pop()
        given = " ".join(words[:2])
        started = sorted(name for name in names if name.split()[0] == argv[0])
        hint = did_you_mean(given, names) or did_you_mean(argv[0], names)
        if not hint and len(started) == 1:
            hint = f"; did you mean {started[0]}?"
        elif not hint and started:
            hint = f"; the commands of {argv[0]} are {', '.join(started)}"
        return f"unknown command {given}{hint} (see {self.NAME} --help)"


class _MessageFormatter(logging.Formatter):
    """Errors and warnings with the program's name, and unexpected ones also with their type."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a message."""
        text = super().format(record)
        if record.levelno < logging.WARNING:
            return text
        if isinstance(record.msg, Exception) and not isinstance(record.msg, UserError):
            # Without the type, the message may be unclear.
            text = f"{type(record.msg).__name__}: {text} (add --debug to see the traceback)"
        return f"{PROGRAM}: {text}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``nova-gpu`` with these arguments, by default those of the process."""
    with printable_output():
        status: int = NovaGpu().run(list(sys.argv[1:] if argv is None else argv))
    return status


if __name__ == "__main__":
    sys.exit(main())
