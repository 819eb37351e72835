# SPDX-License-Identifier: Apache-2.0
"""How a service is started: which files it reads, and in which order.

Files and directories that oslo.config finds by itself are read first, the files only if the command
line has no ``--config-file``, the directories only if it has no ``--config-dir``; then what the
command line names, in its order (``_parse_config_files`` in oslo_config/cfg.py).
"""

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from nova_gpu_passthrough.cloud.lint.configuration.services import CONTROL, Role
from nova_gpu_passthrough.errors import UserError

#: Those that are programs of their own. Placement's API, and mostly Nova's, runs in a web server.
PROGRAMS = {str(role): role for role in (*CONTROL, Role.COMPUTE)}
#: What Nova's services call their first process; the brackets hold its command line (cotyledon,
#: _service_manager.py).
_TITLE = re.compile(r"[^\s:]+: master process \[(.*)\]\s*")
_FILE = "--config-file"
_DIRECTORY = "--config-dir"


@dataclass(frozen=True)
class Command:
    """A command line, as far as it tells of configuration."""

    role: Role
    #: Option and path, in the order of the command line.
    named: tuple[tuple[str, str], ...] = ()

    def order(
        self, files: Iterable[Path], directories: Iterable[Path], place: Callable[[str], Path]
    ) -> Iterator[Path]:
        """The files in the order of reading; some may not be there.

        :param files: what oslo.config finds by itself
        :param directories: likewise
        :param place: where that is which the command line calls so
        """
        options = {option for option, _ in self.named}
        if _FILE not in options:
            yield from files
        if _DIRECTORY not in options:
            for directory in directories:
                yield from _fragments(directory)
        for option, path in self.named:
            if option == _FILE:
                yield place(path)
            else:
                yield from _fragments(place(path))


def parse(words: Sequence[str]) -> Command | None:
    """Read a command line; None if it starts none of Nova's services."""
    number = 0
    if words and PurePath(words[0]).name.startswith("python"):
        # A script, after the interpreter's options.
        number = next((n for n, word in enumerate(words[1:], 1) if not word.startswith("-")), 0)
    if number >= len(words) or PurePath(words[number]).name not in PROGRAMS:
        return None
    named = []
    rest = iter(words[number + 1 :])
    for word in rest:
        option, equals, path = word.partition("=")
        if option in (_FILE, _DIRECTORY) and (path := path if equals else next(rest, "")):
            named.append((option, path))
    return Command(PROGRAMS[PurePath(words[number]).name], tuple(named))


def split(text: str) -> list[str]:
    """The words of a command line, or of the title of a process that holds one.

    :raises ValueError: if a quotation has no end
    """
    titled = _TITLE.fullmatch(text)
    return shlex.split(titled[1] if titled else text)


def parse_all(texts: Iterable[str]) -> Mapping[Role, Command]:
    """Command lines that an operator names, by the service that they start.

    :raises UserError: if one starts no service of Nova
    """
    found: dict[Role, Command] = {}
    for text in texts:
        try:
            command = parse(split(text))
        except ValueError:
            command = None
        if command is None:
            raise UserError(
                f"--started {text}: expected the command line of one of {', '.join(PROGRAMS)}, "
                "such as 'nova-scheduler --config-file /etc/nova/nova.conf'"
            )
        found[command.role] = command
    return found


def _fragments(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.conf"))
