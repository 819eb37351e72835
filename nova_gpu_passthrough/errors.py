# SPDX-License-Identifier: Apache-2.0
"""Errors that commands print as a message instead of a traceback."""

import difflib
from collections.abc import Iterable

#: The exit status of a command that got invalid input or failed.
EXIT_STATUS = 2
#: The exit status after Ctrl-C, as shells report it.
INTERRUPTED_STATUS = 130


class UserError(Exception):
    """Invalid input, or a state that the user can fix.

    The message is one sentence: what, where (file, line, key), what was expected, how to fix it.
    The command prints the message, writes nothing and exits with `status`.
    """

    status = EXIT_STATUS


class InterruptedCommandError(UserError):
    """Ctrl-C ended a command; the message says what has been done and what has not."""

    status = INTERRUPTED_STATUS


def did_you_mean(word: str, known: Iterable[str], most: int = 1) -> str:
    """Return "; did you mean ...?" with the most similar of the known words, or an empty text."""
    similar = difflib.get_close_matches(word, list(dict.fromkeys(known)), most, cutoff=0.7)
    return f"; did you mean {' or '.join(similar)}?" if similar else ""
