# SPDX-License-Identifier: Apache-2.0
"""What all commands share: help with examples, one-line usage errors, Ctrl-C."""

import argparse
import enum
import inspect
import sys
import textwrap
from collections.abc import Iterable
from typing import NoReturn

from cliff._argparse import SmartHelpFormatter
from cliff.command import Command

from nova_gpu_passthrough.errors import EXIT_STATUS, InterruptedCommandError, did_you_mean

#: The program's name in examples, and in the messages of its commands.
PROGRAM = "nova-gpu"


class CommandGroup(enum.StrEnum):
    """Groups of commands in ``nova-gpu --help``."""

    HOST = "This host"
    FLEET = "The fleet file"
    CLOUD = "The cloud"
    OTHER = "The program"


class GpuCommand(Command):
    """The base of all commands."""

    group = CommandGroup.OTHER
    #: Command lines of ``nova-gpu``, and below each, indented, what it does.
    examples = ""
    #: What is true after Ctrl-C; a command that writes or changes something sets it when it begins.
    interrupted = "nothing was written"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the options that cliff and its hooks add."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.formatter_class = HelpFormatter
        if self.examples:
            parser.epilog = "\n\n".join(filter(None, (self._example_text(), parser.epilog)))
        return with_short_errors(parser)

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run the command and return its exit status.

        :raises InterruptedCommandError: after Ctrl-C
        """
        try:
            return super().run(parsed_args)
        except KeyboardInterrupt:
            raise InterruptedCommandError(f"interrupted: {self.interrupted}") from None

    def inform(self, sentence: str) -> None:
        """Print a sentence on standard error, unless the user wants only errors (``--quiet``)."""
        if self.app.options.verbose_level:
            print(sentence, file=sys.stderr)

    @property
    def _in_openstack(self) -> bool:
        """Whether the program is ``openstack``, whose plug-in has the same commands."""
        return hasattr(self.app, "client_manager")

    def _example_text(self) -> str:
        text = inspect.cleandoc(self.examples)
        if self._in_openstack:
            text = text.replace(f"{PROGRAM} ", "openstack gpu ")
        return f"examples:\n{textwrap.indent(text, '  ')}"


class HelpFormatter(SmartHelpFormatter):
    """Help with paragraphs and examples as they are written, and a usage of one line."""

    def add_usage(
        self,
        usage: str | None,
        actions: Iterable[argparse.Action],
        groups: Iterable[argparse._MutuallyExclusiveGroup],
        prefix: str | None = None,
    ) -> None:
        """Add the usage without the options that may be left out; they are listed below it."""
        every = list(actions)
        required = [action for action in every if action.required or not action.option_strings]
        if len(required) < len(every):
            self._prog = f"{self._prog} [OPTION ...]"
        super().add_usage(usage, required, (), prefix)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        fill = super()._fill_text
        return "\n\n".join(
            paragraph if "\n  " in paragraph else fill(paragraph, width, indent)
            for paragraph in text.split("\n\n")
        )


def with_short_errors(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Let a parser report errors in one line: argparse prints the whole usage before it."""
    parser.error = lambda message: _end(parser, message)  # type: ignore[method-assign]
    return parser


def _end(parser: argparse.ArgumentParser, message: str) -> NoReturn:
    """End the program with a usage error."""
    known = [name for action in parser._actions for name in action.option_strings]
    unknown = message.removeprefix("unrecognized arguments: ")
    if unknown != message:
        message += did_you_mean(unknown.split()[0].partition("=")[0], known)
    program = parser.prog.partition(" ")[0]
    print(f"{program}: {message} (see {parser.prog} --help)", file=sys.stderr)
    sys.exit(EXIT_STATUS)
