# SPDX-License-Identifier: Apache-2.0
"""The options of one service, put together from its files as oslo.config does.

Of an option that may be repeated (MultiStrOpt) the values of all files count, in the order in which
the files are read; of any other option the last value of the last file that has it
(``_Namespace._get_file_value`` and ``_get_value`` in oslo_config/cfg.py). Kolla-Ansible, which
makes one file of many before a service starts, lets a later file replace all values of an option
(see ``generate/targets/kolla.py``).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oslo_config import types

from nova_gpu_passthrough.cloud.lint.configuration import parser
from nova_gpu_passthrough.cloud.lint.configuration.parser import Assignment


@dataclass(frozen=True)
class Configuration:
    """What one service reads."""

    #: In the order of reading.
    files: tuple[Path, ...]
    assignments: tuple[Assignment, ...]
    #: Whether these are all its files, so that what they do not say has Nova's default. Without
    #: the main file (only fragments are known) nothing follows from what is not said.
    complete: bool = True

    def all(self, *options: tuple[str, str]) -> tuple[Assignment, ...]:
        """Every value of an option that may be repeated, in the order of reading.

        :param options: its section and name, and those that it had in older releases
        """
        return tuple(a for a in self.assignments if (a.section, a.key) in options)

    def last(self, section: str, name: str) -> Assignment | None:
        """The value that counts of an option with one; None where no file sets it."""
        members = self.all((section, name))
        return members[-1] if members else None

    def text(self, section: str, name: str, default: str | None = None) -> str | None:
        """The same as a text."""
        found = self.last(section, name)
        return default if found is None else found.value

    def flag(self, section: str, name: str, default: bool) -> bool:
        """A boolean; the default where it is none or is not set."""
        return bool(self._converted(types.Boolean(), section, name, default))

    def number(self, section: str, name: str, default: float | None = None) -> float | None:
        """A number; the default where it is none or is not set."""
        result: float | None = self._converted(types.Float(), section, name, default)
        return result

    def names(self, section: str, name: str) -> tuple[str, ...] | None:
        """A list between commas; None where it is not set."""
        found = self._converted(types.List(), section, name, None)
        return None if found is None else tuple(found)

    def where(self, section: str, name: str) -> str:
        """File, line, section and option; for one that is not set, where it could be."""
        found = self.last(section, name)
        return found.where if found else f"{self.place} [{section}] {name}"

    @property
    def place(self) -> str:
        """The file that is read last, for what is in none."""
        return str(self.files[-1]) if self.files else "no file"

    def _converted(self, kind: Any, section: str, name: str, default: Any) -> Any:
        found = self.last(section, name)
        if found is None:
            return default
        try:
            return kind(found.value)
        except ValueError:
            # A check of its own tells of values that are none.
            return default


def read(files: Iterable[Path], complete: bool = True, replacing: bool = False) -> Configuration:
    """Read the files of one service.

    :param files: in the order in which the service reads them
    :param replacing: whether an option in a later file replaces all its values in earlier ones
    :raises UserError: if one is malformed or cannot be read
    """
    paths = tuple(files)
    assignments: list[Assignment] = []
    for path in paths:
        found = parser.read(path)
        if replacing:
            said = {(assignment.section, assignment.key) for assignment in found}
            assignments = [a for a in assignments if (a.section, a.key) not in said]
        assignments += found
    return Configuration(paths, tuple(assignments), complete)
