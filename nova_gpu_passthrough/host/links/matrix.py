# SPDX-License-Identifier: Apache-2.0
"""A table with a row and a column per GPU, as nvidia-smi, rocm-smi and amd-smi print it."""

from collections.abc import Callable, Sequence

from nova_gpu_passthrough.errors import UserError


class Matrix:
    """Collects the rows of a table, checks them, gives the joined pairs.

    :param where: the file
    :param line: number of the line with the columns' names
    :param columns: names of the GPUs
    :param self_cell: what a GPU's cell for itself holds
    :param links: a cell's number of links, 0 for none; raises ValueError for what is no such cell
    """

    def __init__(
        self,
        where: str,
        line: int,
        columns: Sequence[str],
        self_cell: str,
        links: Callable[[str], int],
    ) -> None:
        self.columns = {name: number for number, name in enumerate(columns)}
        self._where, self._line, self._self_cell, self._links = where, line, self_cell, links
        if len(self.columns) != len(columns):
            raise UserError(f"{where}:{line}: a GPU is named twice; save the output anew")
        self._rows: dict[str, list[int]] = {}

    @property
    def is_complete(self) -> bool:
        """Whether every GPU has its row."""
        return len(self._rows) == len(self.columns)

    def add(self, line: int, name: str, cells: Sequence[str]) -> None:
        """Take a row; further columns (NICs, CPUs) are left aside.

        :raises UserError: if it does not belong to the table or is cut off
        """
        if name not in self.columns:
            raise UserError(
                f"{self._where}:{line}: row {name} has no column in line {self._line}; "
                "save the output anew"
            )
        if len(cells) < len(self.columns):
            raise UserError(
                f"{self._where}:{line}: row {name} has {len(cells)} of {len(self.columns)} "
                "columns; save the output anew"
            )
        row = []
        for other, cell in zip(self.columns, cells, strict=False):
            try:
                if (other == name) != (cell == self._self_cell):
                    raise ValueError(cell)
                row.append(0 if other == name else self._links(cell))
            except ValueError:
                raise UserError(
                    f"{self._where}:{line}: row {name}, column {other} is {cell!r}, expected "
                    "a kind of connection; save the output anew"
                ) from None
        self._rows[name] = row

    def pairs(self) -> dict[tuple[int, int], int]:
        """Joined pairs of columns, the lower number first, and their links.

        :raises UserError: if rows are missing or two rows contradict each other
        """
        if not self.is_complete:
            missing = [name for name in self.columns if name not in self._rows]
            raise UserError(
                f"{self._where}:{self._line}: the rows of {', '.join(missing[:9])} are missing; "
                "save the whole output anew"
            )
        joined = {}
        for name, a in self.columns.items():
            for other, b in self.columns.items():
                links, back = self._rows[name][b], self._rows[other][a]
                if links != back:
                    raise UserError(
                        f"{self._where}:{self._line}: {name} has {links} links to {other}, "
                        f"which has {back} back; save the output anew"
                    )
                if links and a < b:
                    joined[a, b] = links
        return joined
