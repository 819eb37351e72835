# SPDX-License-Identifier: Apache-2.0
"""The options of one service, combined from its files as oslo.config combines them.

For an option that may be repeated (MultiStrOpt) the values of all files apply, in the order in
which the files are read; for any other option the last value in the last file that sets it
(``_Namespace._get_file_value`` and ``_get_value`` in oslo_config/cfg.py). Kolla-Ansible, which
merges several files into one before a service starts, lets a later file replace all values of an
option (see ``generate/targets/kolla.py``).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from oslo_config import iniparser, types

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.files import reading


class Assignment(NamedTuple):
    """One ``key = value`` in a file, with its line."""

    section: str
    key: str
    #: Stripped of surrounding blanks; continuation lines follow after a newline.
    value: str
    path: Path
    line: int

    @property
    def where(self) -> str:
        """File, line, section and key."""
        return f"{self.path}:{self.line} [{self.section}] {self.key}"


@dataclass(frozen=True)
class Configuration:
    """The assignments in all files that one service reads."""

    #: In the order in which they are read.
    files: tuple[Path, ...]
    assignments: tuple[Assignment, ...]
    #: Whether these are all files of the service, so that an option that they do not set has Nova's
    #: default. Without the main file (only fragments are known) an unset option means nothing.
    complete: bool = True

    def all(self, *options: tuple[str, str]) -> tuple[Assignment, ...]:
        """Return every assignment of an option that may be repeated, in the order of reading.

        :param options: section and name of the option, current and deprecated
        """
        return tuple(a for a in self.assignments if (a.section, a.key) in options)

    def last(self, section: str, name: str) -> Assignment | None:
        """Return the effective assignment of an option with one value, None if it is not set."""
        assignments = self.all((section, name))
        return assignments[-1] if assignments else None

    def text(self, section: str, name: str, default: str | None = None) -> str | None:
        """Return the value of an option as text, or the default if it is not set."""
        assignment = self.last(section, name)
        return default if assignment is None else assignment.value

    def flag(self, section: str, name: str, default: bool) -> bool:
        """Return the value of a boolean option, or the default if it is not set or invalid."""
        return bool(self._convert(types.Boolean(), section, name, default))

    def number(self, section: str, name: str, default: float | None = None) -> float | None:
        """Return the value of a numeric option, or the default if it is not set or invalid."""
        value: float | None = self._convert(types.Float(), section, name, default)
        return value

    def names(self, section: str, name: str) -> tuple[str, ...] | None:
        """Return the items of a comma-separated option, or None if it is not set."""
        items = self._convert(types.List(), section, name, None)
        return None if items is None else tuple(items)

    def where(self, section: str, name: str) -> str:
        """Return file, line, section and name of an option, or where it could be set."""
        assignment = self.last(section, name)
        return assignment.where if assignment else f"{self.last_file} [{section}] {name}"

    @property
    def last_file(self) -> str:
        """The file that is read last, as the location of an option that no file sets."""
        return str(self.last_path or "no file")

    @property
    def last_path(self) -> Path | None:
        """The path of the file that is read last."""
        return self.files[-1] if self.files else None

    def _convert(self, option_type: Any, section: str, name: str, default: Any) -> Any:
        assignment = self.last(section, name)
        if assignment is None:
            return default
        try:
            return option_type(assignment.value)
        except ValueError:
            # The check option_values reports invalid values.
            return default


def read(files: Iterable[Path], complete: bool = True, replacing: bool = False) -> Configuration:
    """Read the files of one service.

    :param files: in the order in which the service reads them
    :param replacing: whether an option in a later file replaces all its values in earlier files
    :raises UserError: if a file is malformed or cannot be read
    """
    paths = tuple(files)
    assignments: list[Assignment] = []
    for path in paths:
        added = read_assignments(path)
        if replacing:
            replaced = {(assignment.section, assignment.key) for assignment in added}
            assignments = [a for a in assignments if (a.section, a.key) not in replaced]
        assignments += added
    return Configuration(paths, tuple(assignments), complete)


def read_assignments(path: Path) -> tuple[Assignment, ...]:
    """Read all assignments in a file, in order.

    Section names are normalised as in oslo.config: all but ``DEFAULT`` are lower case.

    :raises UserError: with file and line, if oslo.config would refuse the file
    """
    parser = _AssignmentParser(path)
    # The empty line terminates an assignment on the last line.
    parser.parse([*reading.read_text(path).split("\n"), ""])
    return tuple(parser.assignments)


class _AssignmentParser(iniparser.BaseParser):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.assignments: list[Assignment] = []
        self._path = path
        self._section: str | None = None

    def new_section(self, section: str) -> None:
        self._section = section if section == "DEFAULT" else section.lower()

    def assignment(self, key: str, value: Sequence[str]) -> None:
        # The base class calls this on the line after the last line of the value.
        line = self.lineno - len(value)
        if self._section is None:
            self._refuse("an option before the first section", line, f"{key} = {value[0]}")
        self.assignments.append(Assignment(self._section, key, "\n".join(value), self._path, line))

    def error_invalid_assignment(self, line: str) -> NoReturn:
        self._refuse("a line that is neither section nor option", self.lineno, line)

    def error_empty_key(self, line: str) -> NoReturn:
        self._refuse("a value without an option name", self.lineno, line)

    def error_unexpected_continuation(self, line: str) -> NoReturn:
        self._refuse("an indented line that continues no option", self.lineno, line)

    def error_no_section_end_bracket(self, line: str) -> NoReturn:
        self._refuse("a section without its closing bracket", self.lineno, line)

    def error_no_section_name(self, line: str) -> NoReturn:
        self._refuse("a section without a name", self.lineno, line)

    def _refuse(self, problem: str, line_number: int, line: str) -> NoReturn:
        text = line.strip()
        shown = f"{text[:60]}..." if len(text) > 60 else text
        raise UserError(
            f"{self._path}:{line_number}: {problem}: {shown!r}; expected [section] and option = "
            "value, as oslo.config reads them"
        )
