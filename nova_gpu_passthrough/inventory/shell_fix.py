# SPDX-License-Identifier: Apache-2.0
"""The text of a fix: a shell script that can be pasted, or prose where no command helps.

In a script, each line is a command, or a comment that says where and when to run the commands below
it. Commands begin with a lower-case letter, as do the programs that they run, so a program can
distinguish them from prose, which begins with a capital letter.
"""

import shlex
from collections.abc import Iterator

_COMMENT = "# "


def comment(text: str) -> str:
    """Return a line of a script that explains the commands below it."""
    return _COMMENT + " ".join(text.split())


def command(*words: object) -> str:
    """Return a command line, with its words quoted for the shell."""
    return shlex.join(map(str, words))


def script(*lines: str) -> str:
    """Return a script of comments and commands; empty ones are left out."""
    return "\n".join(line for line in lines if line)


def as_root(host: str, *commands: str, then: str = "") -> str:
    """Return a script of commands that root runs on a host.

    :param then: what to do afterwards that no command does
    """
    last = comment(then) if then else ""
    return script(comment(f"As root on {host}:"), *commands, last)


def is_command(line: str) -> bool:
    """Return whether a line of a fix is a command."""
    return line.lstrip()[:1].islower()


def is_script(fix: str) -> bool:
    """Return whether a fix has commands; otherwise it is prose."""
    return any(map(is_command, fix.splitlines()))


def commands(fix: str) -> Iterator[str]:
    """Yield the commands of a fix."""
    return (line for line in fix.splitlines() if is_command(line))
