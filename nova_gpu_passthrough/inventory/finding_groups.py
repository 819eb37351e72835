# SPDX-License-Identifier: Apache-2.0
"""Group findings that differ only in host, address, UUID or name, for people.

The texts of a group are those of its findings, with a list where they differ, such as
``nova-compute@gpu[001-200]``. Commands that differ in one value become a loop of a shell.
"""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from nova_gpu_passthrough.inventory import host_list
from nova_gpu_passthrough.inventory.findings import Finding
from nova_gpu_passthrough.inventory.shell_fix import comment, is_command

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_ADDRESS = r"[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]"
_IDENTITY = re.compile(rf"{_UUID}|{_ADDRESS}")
#: How many different values a text lists, and the subject.
_LISTED, _SUBJECTS = 4, 16
#: How many commands are listed that cannot become a loop, and how many words a loop may have.
_COMMANDS, _LOOP_WORDS = 8, 64


@dataclass(frozen=True, slots=True)
class _Text:
    """A text, divided into the parts that all texts of a group share, and values between them."""

    shared: tuple[str, ...]
    values: tuple[str, ...]

    def filled(self, values: Iterable[str]) -> str:
        """Return the text with other values."""
        parts = [self.shared[0]]
        for value, part in zip(values, self.shared[1:], strict=True):
            parts += (value, part)
        return "".join(parts)


@dataclass(frozen=True, slots=True)
class _Member:
    """A finding of a group, with its texts divided."""

    finding: Finding
    subject: _Text
    found: _Text
    source: _Text
    fix: tuple[_Text, ...]

    @property
    def key(self) -> tuple[object, ...]:
        """What the findings of a group share."""
        finding = self.finding
        shared = (self.subject.shared, self.found.shared, *(line.shared for line in self.fix))
        return (finding.id, finding.severity, finding.why, finding.remedy, *shared)


def merge(findings: Iterable[Finding]) -> list[Finding]:
    """Return one finding for each group, in the order of their first findings."""
    groups: dict[tuple[object, ...], list[_Member]] = {}
    for finding in findings:
        member = _member(finding)
        groups.setdefault(member.key, []).append(member)
    return [
        _merged(members) if len(members) > 1 else members[0].finding for members in groups.values()
    ]


def _member(finding: Finding) -> _Member:
    pattern = _pattern(finding.subject)
    return _Member(
        finding,
        _divided(finding.subject, pattern),
        _divided(finding.found, pattern),
        _divided(finding.source, pattern),
        tuple(_divided(line, pattern) for line in finding.fix.splitlines()),
    )


def _pattern(subject: str) -> re.Pattern[str]:
    """Return the pattern of values: UUIDs, lists of addresses, and the name in the subject.

    The subject is such as ``nova-compute@HOST``, ``HOST ADDRESS``, ``flavor NAME``, ``ADDRESS``.
    """
    values = [_UUID, rf"{_ADDRESS}(?:, {_ADDRESS})*"]
    words = re.split("[@ ]", subject)
    if len(words) > 1:
        name = words[0] if _IDENTITY.fullmatch(words[-1]) else words[-1]
        values.append(rf"(?<![A-Za-z0-9-]){re.escape(name)}(?![A-Za-z0-9-])")
    return re.compile("|".join(values))


def _divided(text: str, pattern: re.Pattern[str]) -> _Text:
    return _Text(tuple(pattern.split(text)), tuple(pattern.findall(text)))


def _merged(members: Sequence[_Member]) -> Finding:
    first = members[0]
    return dataclasses.replace(
        first.finding,
        subject=f"{_listed([one.subject for one in members], _SUBJECTS)} ({len(members)})",
        found=_listed([one.found for one in members]),
        source=_sources([one.source for one in members]),
        fix="\n".join(_fix(members)),
    )


def _listed(texts: Sequence[_Text], most: int = _LISTED) -> str:
    """Return texts of a group as one, with lists of the values that differ."""
    return texts[0].filled(
        _list(dict.fromkeys(values), most)
        for values in zip(*(text.values for text in texts), strict=True)
    )


def _list(values: Iterable[str], most: int) -> str:
    values = list(values)
    if not _IDENTITY.match(values[0]):
        values = host_list.fold(values)
    more = f" and {len(values) - most} more" if len(values) > most else ""
    return f"{', '.join(values[:most])}{more}"


def _sources(texts: Sequence[_Text]) -> str:
    if all(text.shared == texts[0].shared for text in texts):
        columns = list(zip(*(text.values for text in texts), strict=True))
        # A list of addresses would not be a path.
        return texts[0].filled(
            "*"
            if _IDENTITY.match(values[0]) and len(set(values)) > 1
            else _list(dict.fromkeys(values), _LISTED)
            for values in columns
        )
    different = {text.filled(text.values) for text in texts}
    return f"{texts[0].filled(texts[0].values)} and {len(different) - 1} more"


def _fix(members: Sequence[_Member]) -> Iterator[str]:
    """Yield the lines of a fix for all members."""
    block: list[list[_Text]] = []
    for line in zip(*(one.fix for one in members), strict=True):
        command = is_command(line[0].filled(line[0].values))
        if command and any(text != line[0] for text in line):
            block.append(list(line))
            continue
        yield from _commands(members, block)
        block = []
        yield _listed(line)
    yield from _commands(members, block)


def _commands(members: Sequence[_Member], block: Sequence[Sequence[_Text]]) -> Iterator[str]:
    """Yield commands that differ between members: a loop, or one after the other."""
    if not block:
        return
    differing = [
        (line, place)
        for line, texts in enumerate(block)
        for place in range(len(texts[0].values))
        if any(text.values[place] != texts[0].values[place] for text in texts)
    ]
    values = [
        {block[line][number].values[place] for line, place in differing}
        for number in range(len(members))
    ]
    words = _words({value for of_member in values for value in of_member})
    # A variable is not expanded in single quotes.
    quoted = any("'" in part for texts in block for part in texts[0].shared)
    several = any(len(of_member) > 1 or " " in "".join(of_member) for of_member in values)
    if quoted or several or len(words) > _LOOP_WORDS:
        yield from _one_by_one(block)
        return
    variable = _variable(members[0].finding, words[0])
    yield f"for {variable} in {' '.join(words)}; do"
    for line, (text, *_) in enumerate(block):
        filled = (
            _reference(variable, after) if (line, place) in differing else value
            for place, (value, after) in enumerate(zip(text.values, text.shared[1:], strict=True))
        )
        yield f"  {text.filled(filled)}"
    yield "done"


def _words(values: Iterable[str]) -> list[str]:
    """Return the words of a loop over values."""
    values = sorted(values)
    return values if _IDENTITY.match(values[0]) else host_list.shell_words(values)


def _variable(finding: Finding, value: str) -> str:
    """Return the name of the variable of a loop."""
    if re.match(_UUID, value):
        return "id"
    if re.match(_ADDRESS, value):
        return "address"
    is_host = "@" in finding.subject or finding.subject.startswith("host ")
    return "host" if is_host or _IDENTITY.search(finding.subject) else "name"


def _reference(variable: str, after: str) -> str:
    """Return a reference to a variable.

    :param after: the text after it
    """
    return f"${{{variable}}}" if re.match(r"\w", after) else f"${variable}"


def _one_by_one(block: Sequence[Sequence[_Text]]) -> Iterator[str]:
    scripts = dict.fromkeys(
        tuple(text.filled(text.values) for text in texts) for texts in zip(*block, strict=True)
    )
    for lines in list(scripts)[:_COMMANDS]:
        yield from lines
    if len(scripts) > _COMMANDS:
        yield comment(f"The output of -f json has {len(scripts) - _COMMANDS} more.")
