# SPDX-License-Identifier: Apache-2.0
"""Write the tree of a synthetic server: ``python -m tests.trees hgx-h100 DIR``."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from tests.trees import a100_pcie, hgx_h100, l40s, mi300x, write
from tests.trees.many import many
from tests.trees.model import Machine

MACHINES: dict[str, Callable[[], Machine]] = {
    "a100-pcie-4": a100_pcie.machine,
    "hgx-h100": hgx_h100.machine,
    "hgx-h200": lambda: hgx_h100.machine(hgx_h100.H200),
    "l40s-4": l40s.machine,
    "l40s-8": lambda: l40s.machine(8),
    "many": many,
    "mi300x": mi300x.machine,
}


class _Parser(argparse.ArgumentParser):
    """A parser that reports errors in one sentence."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see --help.\n")


def main(arguments: list[str] | None = None) -> int:
    """Write a tree; return 2 if that fails."""
    parser = _Parser(prog="python -m tests.trees", description=__doc__)
    parser.add_argument("machine", choices=sorted(MACHINES), help="the server")
    parser.add_argument(
        "directory", type=Path, help="an empty or new directory for sys, proc, etc, ..."
    )
    parser.add_argument(
        "--full-config",
        action="store_true",
        help="whole configuration spaces, as root reads them, not their first 64 bytes",
    )
    options = parser.parse_args(arguments)
    directory = options.directory
    try:
        if directory.exists() and any(directory.iterdir()):
            parser.error(f"{directory} is not empty")
        write(MACHINES[options.machine](), directory, options.full_config)
    except OSError as error:
        parser.error(f"cannot write {error.filename or directory}: {error.strerror}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
