# SPDX-License-Identifier: Apache-2.0
"""The commands and files that a page shows, and a shell that runs them as a reader would.

A literal block (``::``, ``code-block:: console``) holds commands; a ``code-block`` of another
language with ``:caption: NAME`` holds a file to save. What a test cannot do has a comment before it
that says why: ``.. Shown only: it restarts services.``
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_COMMANDS = ("", "console")
_SHOWN_ONLY = ".. Shown only: "
_DIRECTIVE = re.compile(r"\.\. code-block:: *(\w*)")
_OPTION = re.compile(r":(\w+): *(.+)")


@dataclass(frozen=True)
class Block:
    """One block of a page.

    ``language`` is "" or "console" for commands; ``caption`` a file's name; ``reason`` why no test
    runs it, or "".
    """

    line: int
    language: str
    caption: str
    text: str
    reason: str = ""

    @property
    def is_commands(self) -> bool:
        """Whether it is for a shell."""
        return self.language in _COMMANDS

    def commands(self) -> list[str]:
        """Its commands: lines that go on after a backslash are one, console output is none."""
        lines = self.text.splitlines()
        if self.language == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
        return [line for line in joined.splitlines() if line.strip()]


@dataclass(frozen=True)
class Outcome:
    """What one command did."""

    command: str
    status: int
    output: str


def blocks(path: Path) -> list[Block]:
    """Every block of a page, in its order."""
    return list(_blocks(path.read_text(encoding="utf-8").splitlines()))


def _blocks(lines: Sequence[str]) -> Iterator[Block]:
    number, reason = 0, ""
    while number < len(lines):
        line = lines[number]
        number += 1
        if line.startswith(_SHOWN_ONLY):
            reason = line.removeprefix(_SHOWN_ONLY)
        directive = _DIRECTIVE.match(line)
        if not directive and (line.startswith("..") or not line.endswith("::")):
            continue
        start, body = number, []
        while number < len(lines) and (not lines[number] or lines[number].startswith("  ")):
            body.append(lines[number])
            number += 1
        options = {}
        while directive and body and (option := _OPTION.fullmatch(body[0].strip())):
            options[option[1]] = option[2]
            body.pop(0)
        indent = min((len(line) - len(line.lstrip()) for line in body if line), default=0)
        text = "\n".join(line[indent:] for line in body).strip("\n") + "\n"
        language = directive[1] if directive else ""
        yield Block(start, language, options.get("caption", ""), text, reason)
        reason = ""


def to_run(path: Path, sections: Sequence[str] = ()) -> list[Block]:
    """The blocks that a test has to run: of these sections (by title), or of the whole page."""
    found = [block for block in blocks(path) if not block.reason]
    found = [block for block in found if block.is_commands or block.caption]
    if not sections:
        return found
    lines = path.read_text(encoding="utf-8").splitlines()
    titles = {
        number: line
        for number, line in enumerate(lines[:-1], 1)
        if line and re.fullmatch(r"([=\-~])\1*", lines[number]) and len(lines[number]) >= len(line)
    }
    unknown = set(sections) - set(titles.values())
    assert not unknown, f"{path} has no section {unknown}"

    def section(block: Block) -> str:
        return titles[max((number for number in titles if number < block.line), default=0)]

    return [block for block in found if section(block) in sections]


def run(
    found: Sequence[Block],
    folder: Path,
    environment: Mapping[str, str],
    words: Mapping[str, str] | None = None,
    timeout: float = 240,
) -> list[Outcome]:
    """Run blocks one after the other in one shell, as a reader with one terminal would.

    ``words`` replaces placeholders, such as the name of a server.
    """
    script, commands = [], []
    for block in found:
        if not block.is_commands:
            script.append(f"cat > {block.caption} <<'END OF FILE'\n{block.text}END OF FILE")
            continue
        for command in block.commands():
            for word, instead in (words or {}).items():
                command = re.sub(rf"\b{word}\b", instead, command)
            script.append(f"printf '\\n@@@\\n'\n{command}\nprintf '\\n@@ %d' $?")
            commands.append(command)
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-c", "\n".join(script)],
        cwd=folder,
        env={**environment, "COLUMNS": "160"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
    )
    parts = done.stdout.split("\n@@@\n")[1:]
    assert len(parts) == len(commands), done.stdout
    outcomes = []
    for command, part in zip(commands, parts, strict=True):
        output, _, status = part.rpartition("\n@@ ")
        outcomes.append(Outcome(command, int(status), output))
    return outcomes


def unexpected(outcomes: Sequence[Outcome], allowed: Mapping[str, int]) -> list[Outcome]:
    """What did not end with 0, or with another status that is allowed for commands that match."""
    return [
        one
        for one in outcomes
        if "Traceback" in one.output
        or one.status != next((s for text, s in allowed.items() if re.search(text, one.command)), 0)
    ]
