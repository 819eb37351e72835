# SPDX-License-Identifier: Apache-2.0
"""Colours and progress bars for people at a terminal."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator

from nova_gpu_passthrough.cli.printable import raw
from nova_gpu_passthrough.inventory.findings import Severity, Verdict

#: Called with what is read, how much of it is done, and how much there is.
ReportProgress = Callable[[str, int, int], None]

#: Styles of rich for severities and verdicts.
STYLES: dict[str, str] = {
    Severity.OK: "green",
    Severity.WARNING: "yellow",
    Severity.FAILURE: "bold red",
    Verdict.READY: "green",
    Verdict.CONFIGURE: "yellow",
    Verdict.UNFIT: "bold red",
}
_ESCAPE_CODES = {"green": "32", "yellow": "33", "bold red": "1;31"}


def shows_colours() -> bool:
    """Check whether standard output shows colours (https://no-color.org)."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def coloured(value: Severity | Verdict | str) -> str:
    """Return a severity or verdict as text, coloured if standard output shows colours."""
    text = str(value)
    style = STYLES.get(value)
    return f"\x1b[{_ESCAPE_CODES[style]}m{text}\x1b[0m" if style and shows_colours() else text


@contextlib.contextmanager
def progress_bar() -> Iterator[ReportProgress | None]:
    """Show the progress of a long operation on standard error; yield the function that reports it.

    Yields None if standard error is not a terminal.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=Console(file=raw(sys.stderr)), transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def update(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what)
            progress.update(tasks[what], completed=done, total=total)

        yield update
