# SPDX-License-Identifier: Apache-2.0
"""What commands say to people instead of a traceback."""


class UserError(Exception):
    """Bad input or a state that the user can fix.

    The message is one sentence: what, where (file, line, key), what was expected, how to fix it.
    A command that meets it prints the message, writes nothing and exits with status 2.
    """
