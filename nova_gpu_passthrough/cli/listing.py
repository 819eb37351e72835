# SPDX-License-Identifier: Apache-2.0
"""Lists: which columns they have, what is in a cell for people and for programs, exit status."""

import argparse
from abc import abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from cliff.columns import FormattableColumn
from cliff.lister import Lister

from nova_gpu_passthrough.cli import terminal
from nova_gpu_passthrough.cli.gpu_command import GpuCommand
from nova_gpu_passthrough.cli.printable import printable
from nova_gpu_passthrough.cli.table import Layout, TerminalTable
from nova_gpu_passthrough.errors import UserError, did_you_mean

#: Formats whose cells are single values.
_FLAT_FORMATS = frozenset(("csv", "value"))
#: Formats that have escapes of their own for control characters.
_EXACT_FORMATS = frozenset(("json", "yaml"))


class ListCommand(GpuCommand, Lister):
    """A command that prints a list.

    `take_action` returns all columns, among them those of ``--long``. As in openstackclient, the
    columns are the same in every format, and ``-c`` finds each of them without ``--long``.
    """

    #: The columns that are listed only with ``--long``, or if ``-c`` names them.
    long_columns: Collection[str] = ()
    #: How terminals show the list.
    layout = Layout()
    #: The exit status; `take_action` may set it.
    status = 0
    #: What to print on standard error instead of an empty table; `take_action` may set it.
    nothing = "Nothing was found"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return a parser with ``--long``, if the list has such columns."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        if self.long_columns:
            # argparse formats help texts with %.
            names = ", ".join(self.long_columns).replace("%", "%%")
            parser.add_argument("--long", action="store_true", help=f"list also: {names}")
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run the command and return its exit status."""
        super().run(parsed_args)
        return self.status

    def produce_output(
        self, parsed_args: argparse.Namespace, column_names: Sequence[str], data: Iterable[Any]
    ) -> int:
        """Print the columns that were requested.

        :raises UserError: if there is no such column
        """
        known = {self._normalize_column_name(name): name for name in column_names}
        for name in parsed_args.columns:
            if self._normalize_column_name(name) not in known:
                hint = did_you_mean(name, column_names) or f"; it has {', '.join(column_names)}"
                raise UserError(f"this list has no column {name}{hint}")
        rows = [tuple(row) for row in data]
        if not parsed_args.columns and not getattr(parsed_args, "long", True):
            # cliff sorts before it selects columns, so these sort by all of them, too.
            parsed_args.columns = [name for name in column_names if name not in self.long_columns]
        if parsed_args.formatter in _FLAT_FORMATS:
            rows = [tuple(map(_flat, row)) for row in rows]
        if parsed_args.formatter not in _EXACT_FORMATS:
            rows = [tuple(map(_printable, row)) for row in rows]
        if parsed_args.formatter == "table":
            self.formatter = TerminalTable(self.layout)
            rows = [tuple(map(_number, row)) for row in rows]
            if not rows and not parsed_args.print_empty:
                self.inform(self.nothing)
                return 0
        status: int = super().produce_output(parsed_args, column_names, rows)
        return status


class FlatColumn(FormattableColumn[Any]):
    """A cell whose value has several parts; formats with single values get a text or a number."""

    @abstractmethod
    def flat(self) -> Any:
        """Return one value for the formats csv and value."""


class OptionalColumn(FlatColumn):
    """A value that may be unknown: empty for people, null for programs."""

    def human_readable(self) -> str:
        """Return the value as text, or an empty text."""
        return "" if self._value is None else str(self._value)

    def machine_readable(self) -> Any:
        """Return the value itself."""
        return self._value

    def flat(self) -> Any:
        """Return the value itself."""
        return self._value


class UnlimitedColumn(OptionalColumn):
    """A number that nothing limits: null for programs."""

    def human_readable(self) -> str:
        """Return a word in place of the number."""
        return "unlimited"


def or_unlimited(number: int | None) -> int | UnlimitedColumn:
    """Return the cell of a number; None: nothing limits it."""
    return UnlimitedColumn(None) if number is None else number


class ListColumn(FlatColumn):
    """Several values: joined by commas for people, a list for programs."""

    def human_readable(self) -> str:
        """Return the values, separated by commas."""
        return " ".join(self.words())

    def machine_readable(self) -> Any:
        """Return the list."""
        return list(self._value)

    def flat(self) -> str:
        """Return the values, joined by commas."""
        return ",".join(map(str, self._value))

    def words(self) -> Sequence[str]:
        """Return the parts between which a line may break."""
        return with_commas(map(str, self._value))


class PathColumn(ListColumn):
    """Names from the outermost to the innermost, such as link group and partition."""

    def flat(self) -> str:
        """Return the names, separated by slashes."""
        return "/".join(self._value)

    def words(self) -> Sequence[str]:
        """Return the names, separated by slashes, as one word."""
        return [self.flat()]


class DictColumn(FlatColumn):
    """Values by key; the key None is shown as a question mark."""

    _value: Mapping[Any, Any]

    def human_readable(self) -> str:
        """Return a text such as "0: 4, 1: 3"."""
        return " ".join(self.words())

    def machine_readable(self) -> Any:
        """Return a mapping whose keys are strings, as JSON requires."""
        return {_key(key): value for key, value in self._value.items()}

    def flat(self) -> str:
        """Return a text such as "0=4,1=3"."""
        return ",".join(f"{_key(key)}={value}" for key, value in self._value.items())

    def words(self) -> Sequence[str]:
        """Return the parts between which a line may break."""
        return with_commas(f"{_key(key)}: {value}" for key, value in self._value.items())


class ColouredColumn(FormattableColumn[Any]):
    """A severity or verdict: coloured for people, plain for programs."""

    #: Whether the text may have this program's escape codes.
    is_coloured = True

    def human_readable(self) -> str:
        """Return its name, coloured if standard output shows colours."""
        return terminal.coloured(self._value)

    def machine_readable(self) -> str:
        """Return its name."""
        return str(self._value)


def with_commas(texts: Iterable[str]) -> list[str]:
    """Return texts that are joined by blanks, each but the last with a comma."""
    *others, last = [*texts] or [""]
    return [*(f"{text}," for text in others), last]


def _number(cell: Any) -> Any:
    """Return a known number itself, which the table aligns to the right."""
    value = cell.flat() if isinstance(cell, OptionalColumn) else None
    return value if type(value) in (int, float) else cell


def _flat(cell: Any) -> Any:
    return cell.flat() if isinstance(cell, FlatColumn) else cell


def _printable(cell: Any) -> Any:
    return printable(cell, "\n") if isinstance(cell, str) else cell


def _key(key: Any) -> str:
    return "?" if key is None else str(key)
