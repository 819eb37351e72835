# SPDX-License-Identifier: Apache-2.0
"""Lay out a list for a terminal: a table that fits its width, or a block for each row.

Only prose and lists wrap, prose between words and lists between their items, so that every address,
id, name and command can be copied. In prose, a command stands in `backquotes` or on a line that
begins with spaces. Rows that do not fit next to each other become blocks of labelled lines.
"""

import argparse
import re
import shutil
import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from cliff.columns import FormattableColumn
from cliff.formatters.table import TableFormatter, _do_fit

from nova_gpu_passthrough.cli.printable import printable

#: What is never broken in prose: a command in backquotes, with what precedes and follows it, and
#: otherwise a word.
_UNBREAKABLE = re.compile(r"(?:[^\s`]*`[^`]*`)+\S*|\S+")
_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
#: Prose gets at least this width: in a narrower column it is hard to read.
_LEAST_PROSE = 24


@dataclass(frozen=True, slots=True)
class Layout:
    """How the lists of a command are laid out."""

    #: Columns with sentences, which wrap between words.
    prose: Collection[str] = ()
    #: Columns whose values are the first line of a block.
    heading: Sequence[str] = ()
    #: Whether terminals show blocks even where a table fits.
    blocks: bool = False


class TerminalTable(TableFormatter):
    """The format table: as wide as it needs to be in a file, no wider than a terminal."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def emit_list(
        self,
        column_names: Sequence[str],
        data: Iterable[Sequence[Any]],
        stdout: TextIO,
        parsed_args: argparse.Namespace,
    ) -> None:
        """Write the rows."""
        rows, names = [tuple(row) for row in data], list(column_names)
        width = _width(parsed_args)
        if width is not None and rows:
            cells = [
                [self._cell(name, value) for name, value in zip(names, row, strict=True)]
                for row in rows
            ]
            widths = None if self._layout.blocks else _widths(names, cells, width)
            if widths is None:
                stdout.write(self._blocks(names, cells, width))
                return
            # Numbers stay numbers, which the table aligns to the right.
            rows = [
                tuple(
                    value
                    if type(value) in self.ALIGNMENTS and type(value) is not str
                    else cell.wrapped(widths[name])
                    for name, value, cell in zip(names, row, row_cells, strict=True)
                )
                for row, row_cells in zip(rows, cells, strict=True)
            ]
        else:
            rows = [
                tuple(
                    _text(value) if isinstance(value, FormattableColumn) else value for value in row
                )
                for row in rows
            ]
        options = argparse.Namespace(**vars(parsed_args))
        # The rows are wrapped already.
        options.max_width, options.fit_width = 1_000_000, False
        super().emit_list(names, rows, stdout, options)

    def _cell(self, name: str, value: Any) -> "_Cell":
        words = _words(value)
        if words is not None:
            return _Cell([words])
        lines = getattr(value, "lines", None)
        if lines is not None:
            return _Cell(lines(), prose=True)
        text = _text(value)
        if name not in self._layout.prose:
            return _Cell([[line] for line in text.splitlines()])
        return _Cell(
            [
                [line] if line.startswith(" ") else _UNBREAKABLE.findall(line)
                for line in text.splitlines()
            ],
            prose=True,
        )

    def _blocks(self, names: Sequence[str], rows: Iterable[Sequence["_Cell"]], width: int) -> str:
        heading = [name for name in self._layout.heading if name in names]
        labelled = [name for name in names if name not in heading]
        label_width = max((_length(name) for name in labelled), default=0) + 2
        blocks = []
        for row in rows:
            cells = dict(zip(names, row, strict=True))
            # Several values, such as the GPUs with the same finding, follow each other.
            values = [value for name in heading for value in cells[name].wrapped(0).splitlines()]
            lines = ["\n    ".join(_wrap(values, width - 4, "  "))]
            indent = "  " if lines[0] else ""
            for name in labelled:
                lines += _labelled_lines(
                    f"{indent}{name}: ".ljust(label_width + len(indent)), cells[name], width
                )
            blocks.append("\n".join(filter(None, lines)) + "\n")
        return "\n".join(blocks)


@dataclass(frozen=True, slots=True)
class _Cell:
    """The text of a cell: its lines, and what is never broken in each."""

    lines: Sequence[Sequence[str]]
    prose: bool = False

    def natural(self) -> int:
        """Return the width of the longest line."""
        return max((_length(" ".join(words)) for words in self.lines), default=0)

    def least(self) -> int:
        """Return the width that the cell needs."""
        longest = max((_length(word) for words in self.lines for word in words), default=0)
        return max(longest, min(self.natural(), _LEAST_PROSE)) if self.prose else longest

    def wrapped(self, width: int) -> str:
        """Return the text with lines up to this width, where words allow it; 0 wraps nothing."""
        return "\n".join(
            line for words in self.lines for line in (_wrap(words, width) if words else [""])
        )


def _wrap(words: Iterable[str], width: int, space: str = " ") -> list[str]:
    lines: list[str] = []
    words = list(words)
    # A comment of a script is one on each line.
    start = f"{words[0]} " if words[0] == "#" else ""
    for word in words:
        if lines and (not width or _length(lines[-1] + space + word) <= width):
            lines[-1] += space + word
        else:
            lines.append(f"{start}{word}" if lines else word)
    return lines


def _labelled_lines(label: str, cell: _Cell, width: int) -> list[str]:
    """Return the lines of a cell in a block; empty cells have none."""
    room = width - len(label)
    if cell.least() > room and cell.natural() > room:
        # Below the label there is more room, and what does not fit there either can be copied.
        text = textwrap.dedent(cell.wrapped(width - 4))
        return [label.rstrip(), *textwrap.indent(text, "    ").splitlines()]
    text = cell.wrapped(room)
    if not text:
        return []
    first, *others = text.splitlines()
    return [label + first, *(" " * len(label) + line for line in others)]


def _widths(
    names: Sequence[str], rows: Sequence[Sequence[_Cell]], width: int
) -> Mapping[str, int] | None:
    """Share a terminal's width among the columns; return None if they do not fit."""
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    least = {
        name: max(_length(name), *(cell.least() for cell in cells))
        for name, cells in columns.items()
    }
    wanted = {
        name: max(least[name], *(cell.natural() for cell in cells))
        for name, cells in columns.items()
    }
    # A border on the left; of each column two spaces and a border.
    free = width - 1 - 3 * len(names) - sum(least.values())
    if free < 0:
        return None
    widths = {}
    # Columns that want less than an equal share leave the rest to the others.
    for place, name in enumerate(sorted(names, key=lambda name: wanted[name] - least[name])):
        extra = min(wanted[name] - least[name], free // (len(names) - place))
        widths[name] = least[name] + extra
        free -= extra
    return widths


def _width(options: argparse.Namespace) -> int | None:
    """Return the width to fit, as cliff does; None if the list may be of any width."""
    if options.max_width > 0:
        return int(options.max_width)
    return shutil.get_terminal_size().columns if _do_fit(options.fit_width) else None


def _words(value: Any) -> list[str] | None:
    """Return the items of a list, between which a line may break; None for other values."""
    words = getattr(value, "words", None)
    return None if words is None else [printable(word) for word in words()]


def _text(value: Any) -> str:
    words = _words(value)
    if words is not None:
        return " ".join(words)
    text = str(value.human_readable() if isinstance(value, FormattableColumn) else value)
    return text if getattr(value, "is_coloured", False) else printable(text, "\n")


def _length(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    # Imported here to keep nova-gpu --help fast.
    from rich.cells import cell_len

    return cell_len(_ESCAPE.sub("", text))
