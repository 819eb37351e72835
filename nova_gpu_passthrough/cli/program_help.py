# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu --help``: the commands by group."""

import argparse
import inspect
from collections import defaultdict
from typing import Any

import autopage.argparse
from cliff.app import App
from cliff.help import HelpCommand

from nova_gpu_passthrough.cli.gpu_command import CommandGroup, HelpFormatter
from nova_gpu_passthrough.errors import UserError


class ShowHelp(HelpCommand):
    """Print the help of a command."""

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print the help of the command, or of the program if none is named."""
        app: Any = self.app
        if parsed_args.cmd:
            try:
                self.app.command_manager.find_command(parsed_args.cmd)
            except ValueError:
                raise UserError(app.unknown(parsed_args.cmd)) from None
            status: int = super().take_action(parsed_args)
            return status
        print_help(self.app)
        return 0


def print_help(app: App) -> None:
    """Print the usage, the options and all commands, through a pager on a terminal."""
    pager = autopage.argparse.help_pager(app.stdout)
    in_colour = pager.to_terminal()
    autopage.argparse.use_color_for_parser(app.parser, in_colour)
    app.parser.formatter_class = HelpFormatter
    app.parser.usage = f"{app.NAME} [OPTION ...] COMMAND ..."
    start, end = ("\x1b[1m", "\x1b[0m") if in_colour else ("", "")
    with pager as out:
        app.parser.print_help(out)
        groups = _by_group(app)
        width = max(len(name) for commands in groups.values() for name in commands) + 2
        for group, commands in groups.items():
            out.write(f"\n{start}{group}:{end}\n")
            for name, description in commands.items():
                out.write(f"  {name:{width}}{description}\n")
        out.write(f"\n{app.NAME} COMMAND --help describes a command, with examples.\n")


def _by_group(app: App) -> dict[CommandGroup, dict[str, str]]:
    groups: dict[CommandGroup, dict[str, str]] = defaultdict(dict)
    for name, entry_point in sorted(app.command_manager):
        try:
            command: Any = entry_point.load()
        except ImportError as error:
            app.LOG.warning("command %s cannot be loaded: %s", name, error)
            continue
        # Instances would load the plug-ins of their formatters first.
        description = (inspect.getdoc(command) or "").partition("\n")[0].rstrip(".")
        groups[getattr(command, "group", CommandGroup.OTHER)][name] = description
    return {group: groups[group] for group in CommandGroup if group in groups}
