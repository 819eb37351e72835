# SPDX-License-Identifier: Apache-2.0
"""Errors that commands print as a message instead of a traceback."""

#: The exit status of a command that got invalid input or failed.
EXIT_STATUS = 2


class UserError(Exception):
    """Invalid input, or a state that the user can fix.

    The message is one sentence: what, where (file, line, key), what was expected, how to fix it.
    The command prints the message, writes nothing and exits with status 2.
    """
