# SPDX-License-Identifier: Apache-2.0
"""A table with a row and a column per GPU, as nvidia-smi, rocm-smi and amd-smi print it."""

from collections.abc import Callable, Sequence

from nova_gpu_passthrough.errors import UserError


class LinkMatrix:
    """Collects and checks the rows of a table and returns the joined pairs.

    :param source: the file's name, for messages
    :param line: number of the line with the column names
    :param columns: names of the GPUs
    :param self_cell: content of the cell in which a GPU's row and column meet
    :param parse_cell: returns a cell's number of links, 0 for none; raises ValueError for an
        unknown kind of connection
    """

    def __init__(
        self,
        source: str,
        line: int,
        columns: Sequence[str],
        self_cell: str,
        parse_cell: Callable[[str], int],
    ) -> None:
        self.columns = {name: number for number, name in enumerate(columns)}
        self._source, self._line = source, line
        self._self_cell, self._parse_cell = self_cell, parse_cell
        if len(self.columns) != len(columns):
            raise UserError(f"{source}:{line}: a GPU is named twice; save the output again")
        self._rows: dict[str, list[int]] = {}

    @property
    def is_complete(self) -> bool:
        """Whether every GPU has its row."""
        return len(self._rows) == len(self.columns)

    def add(self, line: int, name: str, cells: Sequence[str]) -> None:
        """Add a row; cells of further columns (NICs, CPUs) are ignored.

        :raises UserError: if it does not belong to the table or is cut off
        """
        if name not in self.columns:
            raise UserError(
                f"{self._source}:{line}: row {name} has no column in line {self._line}; "
                "save the output again"
            )
        if len(cells) < len(self.columns):
            raise UserError(
                f"{self._source}:{line}: row {name} has {len(cells)} of {len(self.columns)} "
                "columns; save the output again"
            )
        row = []
        for other, cell in zip(self.columns, cells, strict=False):
            try:
                if (other == name) != (cell == self._self_cell):
                    raise ValueError(cell)
                row.append(0 if other == name else self._parse_cell(cell))
            except ValueError:
                raise UserError(
                    f"{self._source}:{line}: row {name}, column {other} is {cell!r}, expected "
                    "a kind of connection; save the output again"
                ) from None
        self._rows[name] = row

    def pairs(self) -> dict[tuple[int, int], int]:
        """Return the number of links of each joined pair of columns, lower column first.

        :raises UserError: if rows are missing or two rows contradict each other
        """
        if not self.is_complete:
            missing = [name for name in self.columns if name not in self._rows]
            raise UserError(
                f"{self._source}:{self._line}: the rows of {', '.join(missing[:9])} are missing; "
                "save the whole output again"
            )
        joined = {}
        for name, a in self.columns.items():
            for other, b in self.columns.items():
                links, back = self._rows[name][b], self._rows[other][a]
                if links != back:
                    raise UserError(
                        f"{self._source}:{self._line}: {name} has {links} links to {other}, "
                        f"but {other} has {back} to {name}; save the output again"
                    )
                if links and a < b:
                    joined[a, b] = links
        return joined
