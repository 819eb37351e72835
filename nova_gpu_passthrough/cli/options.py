# SPDX-License-Identifier: Apache-2.0
"""The option ``--fleet`` of all commands that can read a fleet file."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from nova_gpu_passthrough.errors import UserError

if TYPE_CHECKING:
    from nova_gpu_passthrough.fleet.resolve import Resolved


#: Names the fleet file for who does not want to name it each time.
VARIABLE = "NOVA_GPU_FLEET"


def add_fleet(parser: argparse.ArgumentParser) -> None:
    """Add the option."""
    named = os.environ.get(VARIABLE)
    parser.add_argument(
        "--fleet",
        metavar="FILE",
        type=Path,
        default=Path(named) if named else None,
        help=f"the fleet file (default: what {VARIABLE} names)",
    )


def is_default(parsed_args: argparse.Namespace) -> bool:
    """Whether the variable named the file, or may have done so."""
    return str(parsed_args.fleet) == os.environ.get(VARIABLE)


def load(parsed_args: argparse.Namespace) -> "Resolved | None":
    """The fleet with its inventories and all that follows from them; None if none was named.

    :raises UserError: if the fleet file or an inventory cannot be read or makes no sense
    """
    if parsed_args.fleet is None:
        return None
    # Modules are imported where they are used: nova-gpu --help shall not wait for them.
    from nova_gpu_passthrough.fleet import resolve, store

    return resolve.resolve(store.load(parsed_args.fleet))


def required(parsed_args: argparse.Namespace) -> "Resolved":
    """The same for a command that cannot do without.

    :raises UserError: also if no fleet file was named
    """
    resolved = load(parsed_args)
    if resolved is None:
        raise UserError(f"no fleet file was named: give --fleet FILE or set {VARIABLE}")
    return resolved


def add_force(parser: argparse._ActionsContainer) -> None:
    """Add the option to a parser or to a group of its options.

    Without it, ``files.writing`` keeps its hands off edited files and off those of others.
    """
    parser.add_argument(
        "--force",
        action="store_true",
        help="replace a file even if it was edited or is none of ours",
    )
