# SPDX-License-Identifier: Apache-2.0
"""Files of oslo.config's format, with the line of every assignment."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from oslo_config import iniparser

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import documents


class Assignment(NamedTuple):
    """One ``key = value`` with the lines that continue it."""

    section: str
    key: str
    #: Without the blanks around it; lines that continue it follow after a newline.
    value: str
    path: Path
    line: int

    @property
    def where(self) -> str:
        """File, line, section and key."""
        return f"{self.path}:{self.line} [{self.section}] {self.key}"


def read(path: Path) -> tuple[Assignment, ...]:
    """All assignments of a file in their order.

    Section names are normalised as oslo.config does: all but ``DEFAULT`` in lower case.

    :raises UserError: with file and line, if oslo.config would refuse the file
    """
    parser = _Parser(path)
    # The empty line ends an assignment on the last one.
    parser.parse([*documents.read_text(path).split("\n"), ""])
    return tuple(parser.found)


class _Parser(iniparser.BaseParser):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.found: list[Assignment] = []
        self._path = path
        self._section: str | None = None

    def new_section(self, section: str) -> None:
        self._section = section if section == "DEFAULT" else section.lower()

    def assignment(self, key: str, value: Sequence[str]) -> None:
        # It is called on the line after the last one of the value.
        line = self.lineno - len(value)
        if self._section is None:
            self._refuse("an option before the first section", line, f"{key} = {value[0]}")
        self.found.append(Assignment(self._section, key, "\n".join(value), self._path, line))

    def error_invalid_assignment(self, line: str) -> NoReturn:
        self._refuse("a line that is neither section nor option", self.lineno, line)

    def error_empty_key(self, line: str) -> NoReturn:
        self._refuse("a value without an option's name", self.lineno, line)

    def error_unexpected_continuation(self, line: str) -> NoReturn:
        self._refuse("an indented line that continues no option", self.lineno, line)

    def error_no_section_end_bracket(self, line: str) -> NoReturn:
        self._refuse("a section without its closing bracket", self.lineno, line)

    def error_no_section_name(self, line: str) -> NoReturn:
        self._refuse("a section without a name", self.lineno, line)

    def _refuse(self, what: str, number: int, line: str) -> NoReturn:
        text = line.strip()
        shown = f"{text[:60]}..." if len(text) > 60 else text
        raise UserError(
            f"{self._path}:{number}: {what}: {shown!r}; expected [section] and option = value, as "
            "oslo.config reads them"
        )
