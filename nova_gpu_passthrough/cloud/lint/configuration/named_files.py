# SPDX-License-Identifier: Apache-2.0
"""Services whose files the operator names: ``--nova-conf [SERVICE@]HOST=PATH``."""

from collections.abc import Collection, Iterable
from pathlib import Path

from nova_gpu_passthrough.cloud.lint.configuration import config_files
from nova_gpu_passthrough.cloud.lint.configuration.services import (
    ConfiguredService,
    ServiceRole,
    roles_on,
)
from nova_gpu_passthrough.errors import UserError

_ROLES = {
    name: role for role in ServiceRole for name in (str(role), str(role).removeprefix("nova-"))
}


def find(arguments: Iterable[str], computes: Collection[str]) -> tuple[ConfiguredService, ...]:
    """Return the services that the arguments name.

    :param arguments: those for the same service name files that it reads in this order
    :param computes: names of compute hosts, which determine the service if none is named
    :raises UserError: if an argument or a file is malformed, or a file cannot be read
    """
    paths_by_service: dict[tuple[ServiceRole | None, str], list[Path]] = {}
    for argument in arguments:
        role, host, path = _parse(argument)
        paths_by_service.setdefault((role, host), []).append(path)
    services = []
    for (role, host), paths in paths_by_service.items():
        files = [file for path in paths for file in _files(path)]
        # A directory alone contains fragments; a file is assumed to be the service's main file.
        complete = any(not path.is_dir() for path in paths)
        configuration = config_files.read(files, complete)
        roles = (role,) if role else roles_on(host, computes, configuration)
        services.append(ConfiguredService(roles, host, configuration))
    return tuple(services)


def _parse(argument: str) -> tuple[ServiceRole | None, str, Path]:
    owner, equals, path = argument.partition("=")
    service, at, host = owner.rpartition("@")
    if not equals or not host or not path or (at and service not in _ROLES):
        names = ", ".join(_ROLES)
        raise UserError(
            f"--nova-conf {argument}: expected [SERVICE@]HOST=PATH, SERVICE one of {names}"
        )
    return _ROLES[service] if at else None, host, Path(path)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(path.glob("*.conf"))
    if not files:
        raise UserError(f"--nova-conf {path}: no *.conf in this directory")
    return files
