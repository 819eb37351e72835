# SPDX-License-Identifier: Apache-2.0
"""Short lists of host names: ``gpu[001-200]`` for people, ``gpu{001..200}`` for a shell."""

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

#: A name with a number at the end of its first label: prefix, number, domain.
_NUMBERED = re.compile(r"(.*?)(\d{1,9})((?:\..*)?)")


class _Range(NamedTuple):
    """Hosts with consecutive numbers, or a single host without a number."""

    prefix: str
    #: Both empty without a number; otherwise as in the names.
    first: str
    last: str
    domain: str

    def __str__(self) -> str:
        if self.first == self.last:
            return f"{self.prefix}{self.first}{self.domain}"
        return f"{self.prefix}[{self.first}-{self.last}]{self.domain}"

    def shell_word(self) -> str:
        """Return a word that a shell expands to the names."""
        if self.first == self.last:
            return shlex.quote(str(self))
        return f"{_quoted(self.prefix)}{{{self.first}..{self.last}}}{_quoted(self.domain)}"


def _quoted(text: str) -> str:
    return shlex.quote(text) if text else ""


def fold(names: Iterable[str]) -> list[str]:
    """Return the names, sorted, with consecutive numbers in one item."""
    return [str(one) for one in _ranges(names)]


def shell_words(names: Iterable[str]) -> list[str]:
    """Return words for a loop of a shell, which makes the names of them."""
    return [one.shell_word() for one in _ranges(names)]


def _ranges(names: Iterable[str]) -> list[_Range]:
    numbers: dict[tuple[str, str], list[str]] = {}
    ranges = []
    for name in sorted(set(names)):
        match = _NUMBERED.fullmatch(name)
        if match is None:
            ranges.append(_Range(name, "", "", ""))
        else:
            prefix, number, domain = match.groups()
            numbers.setdefault((prefix, domain), []).append(number)
    for (prefix, domain), all_numbers in numbers.items():
        ranges += [_Range(prefix, run[0], run[-1], domain) for run in _runs(all_numbers)]
    return sorted(ranges)


def _runs(numbers: Sequence[str]) -> Iterator[list[str]]:
    """Yield the runs of consecutive numbers; with leading zeros, a run has one width."""
    padded = {len(number) for number in numbers if number.startswith("0") and number != "0"}
    by_width: dict[int, list[str]] = {}
    for number in numbers:
        by_width.setdefault(len(number) if len(number) in padded else 0, []).append(number)
    for same_width in by_width.values():
        run: list[str] = []
        for number in sorted(same_width, key=int):
            if run and int(number) != int(run[-1]) + 1:
                yield run
                run = []
            run.append(number)
        yield run
