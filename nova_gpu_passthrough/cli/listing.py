# SPDX-License-Identifier: Apache-2.0
"""Lists with an exit status, and columns that are short for people and typed for programs."""

import argparse
from typing import Any

from cliff.columns import FormattableColumn
from cliff.lister import Lister

from nova_gpu_passthrough.cli import terminal


class StatusLister(Lister):
    """A list command that exits with ``status``, which `take_action` may set."""

    status = 0

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run the command and return its exit status."""
        super().run(parsed_args)
        return self.status


class OptionalColumn(FormattableColumn[Any]):
    """A value that may be unknown: empty for people, null for programs."""

    def human_readable(self) -> str:
        """Return the value as text, or an empty text."""
        return "" if self._value is None else str(self._value)

    def machine_readable(self) -> Any:
        """Return the value itself."""
        return self._value


class ListColumn(FormattableColumn[Any]):
    """Several values: joined by commas for people, a list for programs."""

    def human_readable(self) -> str:
        """Return the values, separated by commas."""
        return ", ".join(map(str, self._value))

    def machine_readable(self) -> Any:
        """Return the list."""
        return list(self._value)


class PathColumn(ListColumn):
    """Names from the outermost to the innermost, such as link group and partition."""

    def human_readable(self) -> str:
        """Return the names, separated by slashes."""
        return "/".join(self._value)


class DictColumn(FormattableColumn[Any]):
    """Values by key; the key None is shown as a question mark."""

    def human_readable(self) -> str:
        """Return a text such as "0: 4, 1: 3"."""
        return ", ".join(f"{_key(key)}: {value}" for key, value in self._value.items())

    def machine_readable(self) -> Any:
        """Return a mapping whose keys are strings, as JSON requires."""
        return {_key(key): value for key, value in self._value.items()}


class ColouredColumn(FormattableColumn[Any]):
    """A severity or verdict: coloured for people, plain for programs."""

    def human_readable(self) -> str:
        """Return its name, coloured if standard output shows colours."""
        return terminal.coloured(self._value)

    def machine_readable(self) -> str:
        """Return its name."""
        return str(self._value)


def _key(key: Any) -> str:
    return "?" if key is None else str(key)
