# SPDX-License-Identifier: Apache-2.0
"""Extract the commands and files of a documentation page, and run them in a shell.

A literal block (``::``, ``code-block:: console``) has commands; a ``code-block`` of another
language with ``:caption: NAME`` has a file to save. A comment before a block that no test can run
has the reason: ``.. Not run: it restarts services.``
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_COMMANDS = ("", "console")
_NOT_RUN = ".. Not run: "
_DIRECTIVE = re.compile(r"\.\. code-block:: *(\w*)")
_OPTION = re.compile(r":(\w+): *(.+)")


@dataclass(frozen=True)
class Block:
    """A block of a page.

    :param language: "" or "console" for commands
    :param caption: the name of a file
    :param reason: why no test runs the block, or ""
    """

    line: int
    language: str
    caption: str
    text: str
    reason: str = ""

    @property
    def is_commands(self) -> bool:
        """Whether the block has shell commands."""
        return self.language in _COMMANDS

    def commands(self) -> list[str]:
        """Return the commands: continuation lines are joined, console output is omitted."""
        lines = self.text.splitlines()
        if self.language == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
        return [line for line in joined.splitlines() if line.strip()]


@dataclass(frozen=True)
class Outcome:
    """The exit status and output of a command."""

    command: str
    status: int
    output: str


def blocks(path: Path) -> list[Block]:
    """Return all blocks of a page, in order."""
    return list(_blocks(path.read_text(encoding="utf-8").splitlines()))


def _blocks(lines: Sequence[str]) -> Iterator[Block]:
    number, reason = 0, ""
    while number < len(lines):
        line = lines[number]
        number += 1
        if line.startswith(_NOT_RUN):
            reason = line.removeprefix(_NOT_RUN)
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
    """Return the blocks that a test must run, of all sections or of those with these titles."""
    runnable = [
        block for block in blocks(path) if not block.reason and (block.is_commands or block.caption)
    ]
    if not sections:
        return runnable
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

    return [block for block in runnable if section(block) in sections]


def run(
    blocks_to_run: Sequence[Block],
    folder: Path,
    environment: Mapping[str, str],
    words: Mapping[str, str] | None = None,
    timeout: float = 240,
) -> list[Outcome]:
    """Run blocks one after the other in one shell, as a reader with one terminal would.

    :param words: replacements of placeholders, such as the name of a server
    """
    script, commands = [], []
    for block in blocks_to_run:
        if not block.is_commands:
            script.append(f"cat > {block.caption} <<'END OF FILE'\n{block.text}END OF FILE")
            continue
        for command in block.commands():
            for word, replacement in (words or {}).items():
                command = re.sub(rf"\b{word}\b", replacement, command)
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
    outputs = done.stdout.split("\n@@@\n")[1:]
    assert len(outputs) == len(commands), done.stdout
    outcomes = []
    for command, text in zip(commands, outputs, strict=True):
        output, _, status = text.rpartition("\n@@ ")
        outcomes.append(Outcome(command, int(status), output))
    return outcomes


def unexpected(outcomes: Sequence[Outcome], allowed: Mapping[str, int]) -> list[Outcome]:
    """Return the commands that failed.

    :param allowed: expected statuses other than 0, by a pattern of the commands
    """
    return [
        outcome
        for outcome in outcomes
        if "Traceback" in outcome.output
        or outcome.status
        != next((s for pattern, s in allowed.items() if re.search(pattern, outcome.command)), 0)
    ]
