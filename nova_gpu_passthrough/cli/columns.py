# SPDX-License-Identifier: Apache-2.0
"""Cells of lists that are typed for programs and short for people."""

import os
import sys
from typing import Any

from cliff.columns import FormattableColumn

from nova_gpu_passthrough.inventory.findings import Severity, Verdict


class Maybe(FormattableColumn[Any]):
    """Anything that may be unknown: nothing for people, null for programs."""

    def human_readable(self) -> str:
        """The value, or nothing."""
        return "" if self._value is None else str(self._value)

    def machine_readable(self) -> Any:
        """The value itself."""
        return self._value


class Words(FormattableColumn[Any]):
    """Several words: joined for people, a list for programs."""

    def human_readable(self) -> str:
        """The words with commas."""
        return ", ".join(map(str, self._value))

    def machine_readable(self) -> Any:
        """The list."""
        return list(self._value)


class Path(Words):
    """Names from the outermost to the innermost."""

    def human_readable(self) -> str:
        """The names with slashes."""
        return "/".join(self._value)


class ByKey(FormattableColumn[Any]):
    """Values by key; the key None becomes a question mark."""

    def human_readable(self) -> str:
        """Such as "0: 4, 1: 3"."""
        return ", ".join(f"{_key(key)}: {value}" for key, value in self._value.items())

    def machine_readable(self) -> Any:
        """A mapping with keys that are texts, as JSON has it."""
        return {_key(key): value for key, value in self._value.items()}


def _key(key: Any) -> str:
    return "?" if key is None else str(key)


#: Names of rich's, which are those of the terminal's own colours.
STYLES = {
    Severity.OK: "green",
    Severity.WARNING: "yellow",
    Severity.FAILURE: "bold red",
    Verdict.READY: "green",
    Verdict.CONFIGURE: "yellow",
    Verdict.UNFIT: "bold red",
}
_CODES = {"green": "32", "yellow": "33", "bold red": "1;31"}


def wanted() -> bool:
    """Whether standard output shows colours (https://no-color.org)."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


class Coloured(FormattableColumn[Any]):
    """A severity or verdict: coloured for people, plain for programs."""

    def human_readable(self) -> str:
        """Its name, in its colour where standard output is a terminal."""
        text = str(self._value)
        style = STYLES.get(self._value)
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if style and wanted() else text

    def machine_readable(self) -> str:
        """Its name."""
        return str(self._value)
