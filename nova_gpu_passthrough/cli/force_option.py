# SPDX-License-Identifier: Apache-2.0
"""The option ``--force`` of all commands that write files."""

import argparse


def add_argument(parser: argparse._ActionsContainer) -> None:
    """Add the option to a parser or to a group of its options.

    Without it, ``files.writing`` keeps its hands off edited files and off those of others.
    """
    parser.add_argument(
        "--force",
        action="store_true",
        help="replace a file even if it was edited or is none of ours",
    )
