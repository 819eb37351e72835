# SPDX-License-Identifier: Apache-2.0
"""Command lines of services: which files a service reads, and in which order.

The default files and directories of oslo.config are read first, the files only if the command line
has no ``--config-file``, the directories only if it has no ``--config-dir``; then the files and
directories of the command line, in its order (``_parse_config_files`` in oslo_config/cfg.py).
"""

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from nova_gpu_passthrough.cloud.lint.configuration.services import CONTROL_PLANE, ServiceRole
from nova_gpu_passthrough.errors import UserError

#: Services that are programs of their own. Placement's API and usually Nova's run in a web server.
PROGRAMS = {str(role): role for role in (*CONTROL_PLANE, ServiceRole.COMPUTE)}
#: Title of the first process of a Nova service; the brackets contain its command line (cotyledon,
#: _service_manager.py).
_TITLE = re.compile(r"[^\s:]+: master process \[(.*)\]\s*")
_FILE = "--config-file"
_DIRECTORY = "--config-dir"


@dataclass(frozen=True)
class ServiceCommand:
    """The options of a service's command line that name configuration files."""

    role: ServiceRole
    #: Option and path, in the order of the command line.
    config_options: tuple[tuple[str, str], ...] = ()

    def order(
        self, files: Iterable[Path], directories: Iterable[Path], locate: Callable[[str], Path]
    ) -> Iterator[Path]:
        """Yield the files in the order of reading; some may not exist.

        :param files: default files of oslo.config
        :param directories: default directories of oslo.config
        :param locate: maps a path of the command line to the path where the file is
        """
        options = {option for option, _ in self.config_options}
        if _FILE not in options:
            yield from files
        if _DIRECTORY not in options:
            for directory in directories:
                yield from _fragments(directory)
        for option, path in self.config_options:
            if option == _FILE:
                yield locate(path)
            else:
                yield from _fragments(locate(path))


def parse(words: Sequence[str]) -> ServiceCommand | None:
    """Parse a command line; return None if it does not start a service of Nova."""
    index = 0
    if words and PurePath(words[0]).name.startswith("python"):
        # A script, after the interpreter's options.
        index = next((n for n, word in enumerate(words[1:], 1) if not word.startswith("-")), 0)
    if index >= len(words) or PurePath(words[index]).name not in PROGRAMS:
        return None
    config_options = []
    rest = iter(words[index + 1 :])
    for word in rest:
        option, equals, path = word.partition("=")
        if option in (_FILE, _DIRECTORY) and (path := path if equals else next(rest, "")):
            config_options.append((option, path))
    return ServiceCommand(PROGRAMS[PurePath(words[index]).name], tuple(config_options))


def split(text: str) -> list[str]:
    """Split a command line, or a process title that contains one, into words.

    :raises ValueError: if a quotation is not closed
    """
    title = _TITLE.fullmatch(text)
    return shlex.split(title[1] if title else text)


def parse_all(texts: Iterable[str]) -> Mapping[ServiceRole, ServiceCommand]:
    """Parse the command lines of ``--started`` and return them by service.

    :raises UserError: if a command line does not start a service of Nova
    """
    commands: dict[ServiceRole, ServiceCommand] = {}
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
        commands[command.role] = command
    return commands


def _fragments(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.conf"))
