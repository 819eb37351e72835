# SPDX-License-Identifier: Apache-2.0
"""CSV files with a header; errors name the line and the column."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import documents

#: Beyond this no host and no request is; arrays hold 64 bits.
_LARGEST = 10**12


class Row:
    """A line of a table."""

    def __init__(self, path: Path, line: int, cells: dict[str, str]) -> None:
        self._path = path
        self._cells = cells
        self.line = line

    def text(self, column: str) -> str:
        """What is in a column; empty, if the file has no such column."""
        return self._cells.get(column, "").strip()

    def whole(self, column: str) -> int:
        """A whole number.

        :raises UserError: if it is none, or negative
        """
        text = self.text(column)
        if not text.isascii() or not text.isdigit() or int(text) > _LARGEST:
            raise UserError(self.place(column, "a whole number that is not negative", text))
        return int(text)

    def number(self, column: str) -> float | None:
        """A number; None where nothing is said.

        :raises UserError: if it is none, or negative
        """
        text = self.text(column)
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value <= _LARGEST:
            raise UserError(self.place(column, "a number that is not negative", text))
        return value

    def place(self, column: str, expected: str, found: str) -> str:
        """A message about a cell."""
        shown = repr(found if len(found) <= 40 else f"{found[:40]}...")
        return f"{self._path}:{self.line}: column {column}: {shown}, expected {expected}"


def read(path: Path, kind: str, columns: Sequence[str]) -> Iterator[Row]:
    """The lines of a table, the header left out.

    :param kind: what the file is to people, such as "a list of nodes"
    :param columns: those that it must have
    :raises UserError: if it cannot be read, lacks a column, or a line is too short
    """
    text = documents.read_text(path).removeprefix("\ufeff")
    reader = csv.reader(text.splitlines(), strict=True)
    names: list[str] = []
    try:
        for cells in reader:
            if not names:
                names = [name.strip() for name in cells]
                for column in columns:
                    if column not in names:
                        raise UserError(
                            f"{path}:1: there is no column {column}; expected {kind} in CSV with "
                            f"the columns {','.join(columns)}"
                        )
            elif cells:
                if len(cells) < len(names):
                    raise UserError(
                        f"{path}:{reader.line_num}: column {names[len(cells)]} is missing; "
                        f"expected {len(names)} cells as in the first line"
                    )
                yield Row(path, reader.line_num, dict(zip(names, cells, strict=False)))
    except csv.Error as error:
        raise UserError(f"{path}:{reader.line_num}: {error}; expected {kind} in CSV") from None
    if not names:
        raise UserError(f"{path} is empty; expected {kind} in CSV")
