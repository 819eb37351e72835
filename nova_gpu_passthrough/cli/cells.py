# SPDX-License-Identifier: Apache-2.0
"""Cells of lists that are typed for programs and short for people."""

from typing import Any

from cliff.columns import FormattableColumn


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
