# SPDX-License-Identifier: Apache-2.0
"""The options ``--fleet`` and ``--force``, which several commands have, and what they do."""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from nova_gpu_passthrough.errors import UserError

if TYPE_CHECKING:
    from nova_gpu_passthrough.cli.gpu_command import GpuCommand
    from nova_gpu_passthrough.files.generated_files import FileState
    from nova_gpu_passthrough.fleet.resolve import ResolvedFleet


#: The environment variable with the default of ``--fleet``.
FLEET_VARIABLE = "NOVA_GPU_FLEET"


def add_fleet_option(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--fleet``."""
    default = os.environ.get(FLEET_VARIABLE)
    parser.add_argument(
        "--fleet",
        metavar="FILE",
        type=Path,
        default=Path(default) if default else None,
        help=f"the fleet file (default: the value of {FLEET_VARIABLE})",
    )


def is_default_fleet(parsed_args: argparse.Namespace) -> bool:
    """Check whether the fleet file is the one that the environment variable names."""
    return str(parsed_args.fleet) == os.environ.get(FLEET_VARIABLE)


def load_fleet(parsed_args: argparse.Namespace) -> "ResolvedFleet | None":
    """Load the fleet file with its inventories; return None if no fleet file was given.

    :raises UserError: if the fleet file or an inventory cannot be read or is invalid
    """
    if parsed_args.fleet is None:
        return None
    # Imported here to keep nova-gpu --help fast.
    from nova_gpu_passthrough.fleet import resolve, store

    return resolve.resolve(store.load(parsed_args.fleet))


def require_fleet(parsed_args: argparse.Namespace) -> "ResolvedFleet":
    """Load the fleet file of a command that needs one.

    :raises UserError: also if no fleet file was given
    """
    resolved = load_fleet(parsed_args)
    if resolved is None:
        raise UserError(f"no fleet file was given: add --fleet FILE or set {FLEET_VARIABLE}")
    return resolved


def add_force_option(parser: argparse._ActionsContainer) -> None:
    """Add the option ``--force`` to a parser or to a group of its options.

    Without it, ``files.generated_files`` replaces only files that nova-gpu wrote and nobody edited.
    """
    parser.add_argument(
        "--force",
        action="store_true",
        help="replace a file even if it was edited or was not written by nova-gpu",
    )


def write_files(
    command: "GpuCommand", files: Mapping[Path, str], force: bool, content: str = ""
) -> "dict[Path, FileState]":
    """Write generated files, and report it on standard error.

    :param content: what is in them, such as "20 GPUs"
    :returns: the state of each before
    :raises UserError: if one must not be replaced, or cannot be written
    """
    from nova_gpu_passthrough.files import generated_files

    command.interrupted = "some of the files may have been written, each of them completely"
    if len(files) == 1:
        command.interrupted = f"{next(iter(files))} may have been written"
    states = generated_files.write_all(files, force)
    same = [path for path, state in states.items() if state is generated_files.FileState.SAME]
    if len(files) > 1:
        folder = os.path.commonpath([path.parent for path in files])
        text = f"wrote {len(files) - len(same)} files below {folder}; {len(same)} were up to date"
    elif same:
        text = f"{same[0]} is up to date"
    else:
        text = f"wrote {next(iter(files))}{f' ({content})' if content else ''}"
    command.inform(text)
    command.interrupted = "all files were written"
    return states


def counted(number: int, noun: str) -> str:
    """Return a number with a noun, such as "1 GPU" or "20 GPUs"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
