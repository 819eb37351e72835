# SPDX-License-Identifier: Apache-2.0
"""The options ``--fleet`` and ``--force``, which several commands have."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from nova_gpu_passthrough.errors import UserError

if TYPE_CHECKING:
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
