# SPDX-License-Identifier: Apache-2.0
"""``nova-gpu complete``: completion of commands, options, files and names in bash."""

import argparse
import re
import sys
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from nova_gpu_passthrough.cli import common_options
from nova_gpu_passthrough.cli.gpu_command import PROGRAM, GpuCommand

if TYPE_CHECKING:
    from cliff.command import Command

    from nova_gpu_passthrough.fleet.resolve import ResolvedFleet

#: What kind of name is the value of an option or argument with this metavar.
_NAMES = {
    "FLAVOR": "flavors",
    "HOST": "hosts",
    "MODEL": "models",
    "PROJECT": "projects",
    "SERVER|FLAVOR": "flavors",
}
_FILES = ("FILE", "INVENTORY")
_DIRECTORIES = ("DIR", "ROOT")
#: Other names would need quotes in the shell.
_PLAIN_NAME = re.compile(r"[\w.+@%-]+")


class PrintCompletion(GpuCommand):
    """Print a script that completes commands, options, files and names in bash.

    Flavors, hosts, models and projects are read from the fleet file, without the cloud: from the
    one that the command line names with --fleet, or the environment with NOVA_GPU_FLEET.
    """

    examples = """
        nova-gpu complete > ~/.local/share/bash-completion/completions/nova-gpu
          install it for yourself; the next shell uses it
        nova-gpu complete --names flavors --fleet fleet.yaml
          print the names that the script offers
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's options."""
        parser = super().get_parser(prog_name)
        common_options.add_fleet_option(parser)
        parser.add_argument(
            "--names",
            choices=sorted(set(_NAMES.values())),
            help="print names from the fleet file, as the script does",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Print the script, or names."""
        if parsed_args.names:
            resolved = common_options.require_fleet(parsed_args)
            for name in sorted(set(_names(resolved, parsed_args.names))):
                if _PLAIN_NAME.fullmatch(name):
                    print(name)
            return
        # The other options of openstacksdk are too many to be of help.
        words = {PROGRAM: [*_words(self.app.parser), "--os-cloud=value"]}
        for name, entry_point in self.app.command_manager:
            command: Command = entry_point.load()(self.app, None, cmd_name=name)
            words[name] = [*_words(command.get_parser(name))]
        sys.stdout.write(_script(words))


def _script(words: Mapping[str, Iterable[str]]) -> str:
    lines = [f"    [{name!r}]={' '.join(options)!r}" for name, options in sorted(words.items())]
    code = resources.files(__package__).joinpath("completion.bash").read_text(encoding="utf-8")
    return "\n".join(["declare -gA _nova_gpu_words=(", *lines, ")", "", code])


def _words(parser: argparse.ArgumentParser) -> Iterable[str]:
    for action in parser._actions:
        kind = _kind(action)
        for option in action.option_strings or ["@"]:
            yield f"{option}={kind}"


def _kind(action: argparse.Action) -> str:
    """Return the kind of an option's value, as ``completion.bash`` describes it."""
    if action.nargs == 0:
        return ""
    if action.choices:
        return "|".join(map(str, action.choices))
    metavar = str(action.metavar)
    if metavar in _NAMES or action.dest == "host":
        return f":{_NAMES.get(metavar, 'hosts')}"
    if metavar in _DIRECTORIES:
        return "dir"
    return "file" if action.type is Path or metavar in _FILES else "value"


def _names(resolved: "ResolvedFleet", kind: str) -> Iterable[str]:
    if kind == "hosts":
        return [*resolved.groups, *resolved.inventories]
    if kind == "models":
        return [gpu.model for found in resolved.inventories.values() for gpu in found.gpus]
    if kind == "projects":
        return [project.name for project in resolved.file.projects]
    from nova_gpu_passthrough.fleet import derive_state

    desired, _ = derive_state.make(resolved)
    return [flavor.name for flavor in desired.flavors]
