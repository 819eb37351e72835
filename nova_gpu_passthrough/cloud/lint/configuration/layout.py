# SPDX-License-Identifier: Apache-2.0
"""Where the files of which service are in a directory with one directory for each host.

Below a host's directory may be

* what is at ``/etc``: ``etc/nova``, ``etc/placement``, as ``nova-gpu config generate --write`` lays
  them out, or the same without ``etc``, or the files themselves;
* what Kolla-Ansible puts on a host: ``etc/kolla/nova-api``, ``etc/kolla/placement-api``, ..., or
  the same without ``etc/kolla``;
* what Kolla-Ansible merges from: ``etc/kolla/config``.

Of a directory a service reads ``nova.conf`` and a file of its own name, then ``nova.conf.d`` and a
directory of its own name (``find_config_files`` and ``find_config_dirs`` in oslo_config/cfg.py),
unless its command line says otherwise.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePath

from nova_gpu_passthrough.cloud.lint.configuration import values
from nova_gpu_passthrough.cloud.lint.configuration.services import (
    CONTROL,
    Role,
    Service,
    roles_on,
)
from nova_gpu_passthrough.cloud.lint.configuration.started import Command
from nova_gpu_passthrough.errors import UserError

#: Directories that Kolla-Ansible makes, by the service whose they are.
_KOLLA = {
    "nova-api": Role.API,
    "nova-conductor": Role.CONDUCTOR,
    "nova-super-conductor": Role.CONDUCTOR,
    "nova-scheduler": Role.SCHEDULER,
    "nova-compute": Role.COMPUTE,
    "placement-api": Role.PLACEMENT,
}
_OVERRIDES = ("etc/kolla/config", "kolla/config", "config")
_EXPECTED = (
    "expected a directory for each host with etc/nova/nova.conf, etc/nova/nova.conf.d or "
    "nova.conf in it, or name files with --nova-conf"
)


#: Command lines by the service that they start.
_Started = Mapping[Role, Command]


def find(
    directory: Path, computes: Collection[str], started: _Started | None = None
) -> tuple[Service, ...]:
    """All services whose files are in a directory.

    :param computes: names of compute hosts; any other host is one of the control plane
    :param started: command lines of services, on all hosts; of what they name, the last part of the
        path counts, in the directory of the service's other files
    :raises UserError: if there are none, or a file is malformed or cannot be read
    """
    try:
        hosts = sorted(path for path in directory.iterdir() if path.is_dir())
    except OSError as error:
        raise UserError(f"--config {directory}: {error.strerror or error}; {_EXPECTED}") from None
    services = [service for host in hosts for service in _of_host(host, computes, started or {})]
    if not services:
        raise UserError(f"--config {directory}: no configuration of Nova found, {_EXPECTED}")
    return tuple(services)


def _of_host(root: Path, computes: Collection[str], started: _Started) -> Iterator[Service]:
    host = root.name
    roles = (Role.COMPUTE,) if host in computes else CONTROL
    for part in ("", "nova", "etc", "etc/nova"):
        for service in _nova(root / part, host, roles, started):
            told = roles_on(host, computes, service.configuration)
            yield service if told == roles else Service(told, host, service.configuration)
    for part in ("", "placement", "etc", "etc/placement"):
        yield from _placement(root / part, host)
    for part in ("", "kolla", "etc/kolla"):
        for name, role in _KOLLA.items():
            if role is Role.PLACEMENT:
                yield from _placement(root / part / name, host)
            else:
                yield from _nova(root / part / name, host, (role,), started)
    for part in _OVERRIDES:
        yield from _overrides(root / part, host)


def _nova(
    directory: Path, host: str, roles: Sequence[Role], started: _Started
) -> Iterator[Service]:
    """Services by the files that they read: those with the same files are one."""
    by_files: dict[tuple[Path, ...], list[Role]] = {}
    for role in roles:
        command = started.get(role, Command(role))
        if files := _files(directory, "nova", role, command):
            by_files.setdefault(files, []).append(role)
    for files, members in by_files.items():
        complete = directory / "nova.conf" in files
        yield Service(tuple(members), host, values.read(files, complete))


def _placement(directory: Path, host: str) -> Iterator[Service]:
    if files := _files(directory, "placement", "placement-api", Command(Role.PLACEMENT)):
        complete = directory / "placement.conf" in files
        yield Service((Role.PLACEMENT,), host, values.read(files, complete))


def _files(directory: Path, project: str, program: str, command: Command) -> tuple[Path, ...]:
    files = [directory / f"{name}.conf" for name in (project, program)]
    folders = [directory / f"{name}.conf.d" for name in (project, program)]
    read = command.order(files, folders, lambda path: directory / PurePath(path).name)
    return tuple(path for path in read if path.is_file())


def _overrides(directory: Path, deployment_host: str) -> Iterator[Service]:
    """Files that Kolla-Ansible merges into its own, so never all that a service reads."""
    nova = directory / "nova"
    general = [directory / "global.conf", directory / "nova.conf"]
    for name, role in _KOLLA.items():
        if role is Role.PLACEMENT:
            files = [directory / "global.conf", directory / "placement.conf"]
        elif role is Role.COMPUTE:
            continue
        else:
            files = [*general, nova / f"{name}.conf"]
        if found := [path for path in files if path.is_file()]:
            configuration = values.read(found, complete=False, replacing=True)
            yield Service((role,), deployment_host, configuration)
    for own in sorted(nova.glob("*/nova.conf")):
        files = [*general, nova / "nova-compute.conf", own]
        configuration = values.read(
            [path for path in files if path.is_file()], complete=False, replacing=True
        )
        yield Service((Role.COMPUTE,), own.parent.name, configuration)
