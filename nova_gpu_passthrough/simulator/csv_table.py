# SPDX-License-Identifier: Apache-2.0
"""Read CSV files with a header; errors name line and column."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import reading

#: Larger numbers are errors: arrays hold 64 bits, and no host or request has that much.
_LARGEST = 10**12


class CsvRow:
    """A line of a CSV file."""

    def __init__(self, path: Path, line: int, cells: dict[str, str]) -> None:
        self._path = path
        self._cells = cells
        self.line = line

    def text(self, column: str) -> str:
        """Return the text of a column; empty if the file has no such column."""
        return self._cells.get(column, "").strip()

    def whole(self, column: str) -> int:
        """Return a whole number.

        :raises UserError: if the text is none, or negative
        """
        text = self.text(column)
        if not text.isascii() or not text.isdigit() or int(text) > _LARGEST:
            raise UserError(self.message(column, "a whole number that is not negative", text))
        return int(text)

    def number(self, column: str) -> float | None:
        """Return a number; None for an empty text.

        :raises UserError: if the text is none, or negative
        """
        text = self.text(column)
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value <= _LARGEST:
            raise UserError(self.message(column, "a number that is not negative", text))
        return value

    def message(self, column: str, expected: str, text: str) -> str:
        """Return an error message about a column of this line."""
        shown = repr(text if len(text) <= 40 else f"{text[:40]}...")
        return f"{self._path}:{self.line}: column {column}: {shown}, expected {expected}"


def read(path: Path, kind: str, columns: Sequence[str]) -> Iterator[CsvRow]:
    """Yield the lines of a CSV file after its header.

    :param kind: what the file should be, for messages, such as "a list of nodes"
    :param columns: the required columns
    :raises UserError: if the file cannot be read, lacks a column, or a line is too short
    """
    text = reading.read_text(path, reading.MAX_BYTES_OF_LISTS).removeprefix("\ufeff")
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
                yield CsvRow(path, reader.line_num, dict(zip(names, cells, strict=False)))
    except csv.Error as error:
        raise UserError(f"{path}:{reader.line_num}: {error}; expected {kind} in CSV") from None
    if not names:
        raise UserError(f"{path} is empty; expected {kind} in CSV")
