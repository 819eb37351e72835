# SPDX-License-Identifier: Apache-2.0
"""Files that an operator names: ``[SERVICE@]HOST=PATH``."""

from collections.abc import Collection, Iterable
from pathlib import Path

from nova_gpu_passthrough.cloud.lint.configuration import values
from nova_gpu_passthrough.cloud.lint.configuration.services import Role, Service, roles_on
from nova_gpu_passthrough.errors import UserError

_ROLES = {name: role for role in Role for name in (str(role), str(role).removeprefix("nova-"))}


def find(words: Iterable[str], computes: Collection[str]) -> tuple[Service, ...]:
    """The services of such words; words for the same service are files that it reads in order.

    :param computes: names of compute hosts: tell the service where none is named
    :raises UserError: if a word is malformed, or a file is or cannot be read
    """
    found: dict[tuple[Role | None, str], list[Path]] = {}
    for word in words:
        role, host, path = _parsed(word)
        found.setdefault((role, host), []).append(path)
    services = []
    for (role, host), paths in found.items():
        files = [file for path in paths for file in _files(path)]
        # A directory alone has fragments; a file is taken for the service's main one.
        complete = any(not path.is_dir() for path in paths)
        configuration = values.read(files, complete)
        roles = (role,) if role else roles_on(host, computes, configuration)
        services.append(Service(roles, host, configuration))
    return tuple(services)


def _parsed(word: str) -> tuple[Role | None, str, Path]:
    who, equals, path = word.partition("=")
    service, at, host = who.rpartition("@")
    if not equals or not host or not path or (at and service not in _ROLES):
        names = ", ".join(_ROLES)
        raise UserError(f"--nova-conf {word}: expected [SERVICE@]HOST=PATH, SERVICE one of {names}")
    return _ROLES[service] if at else None, host, Path(path)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(path.glob("*.conf"))
    if not files:
        raise UserError(f"--nova-conf {path}: no *.conf in this directory")
    return files


def put_over(found: Iterable[Service], named: Iterable[Service]) -> tuple[Service, ...]:
    """All services; those of ``named`` instead of the same ones in ``found``."""
    named = tuple(named)
    taken = {(role, service.host) for service in named for role in service.roles}
    kept = []
    for service in found:
        roles = tuple(role for role in service.roles if (role, service.host) not in taken)
        if roles:
            kept.append(Service(roles, service.host, service.configuration))
    return (*kept, *named)
