# SPDX-License-Identifier: Apache-2.0
"""Services whose files are in a directory with one subdirectory for each host.

A host's subdirectory may contain

* the files below ``/etc``: ``etc/nova``, ``etc/placement``, as ``nova-gpu config generate --write``
  writes them, or the same without ``etc``, or the files themselves;
* the files that Kolla-Ansible deploys: ``etc/kolla/nova-api``, ``etc/kolla/placement-api``, ..., or
  the same without ``etc/kolla``;
* the files that Kolla-Ansible merges: ``etc/kolla/config``.

A service reads ``nova.conf`` and a file with its own name, then ``nova.conf.d`` and a directory
with its own name (``find_config_files`` and ``find_config_dirs`` in oslo_config/cfg.py), unless its
command line names other files.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePath

from nova_gpu_passthrough.cloud.lint.configuration import config_files
from nova_gpu_passthrough.cloud.lint.configuration.command_line import ServiceCommand
from nova_gpu_passthrough.cloud.lint.configuration.services import (
    CONTROL_PLANE,
    ConfiguredService,
    ServiceRole,
    roles_on,
)
from nova_gpu_passthrough.errors import UserError

#: Kolla-Ansible's directories on a host, by the service that reads them.
_KOLLA = {
    "nova-api": ServiceRole.API,
    "nova-conductor": ServiceRole.CONDUCTOR,
    "nova-super-conductor": ServiceRole.CONDUCTOR,
    "nova-scheduler": ServiceRole.SCHEDULER,
    "nova-compute": ServiceRole.COMPUTE,
    "placement-api": ServiceRole.PLACEMENT,
}
_KOLLA_OVERRIDES = ("etc/kolla/config", "kolla/config", "config")
_EXPECTED = (
    "expected a directory for each host with etc/nova/nova.conf, etc/nova/nova.conf.d or "
    "nova.conf in it, or name files with --nova-conf"
)


#: Command lines by the service that they start.
_Commands = Mapping[ServiceRole, ServiceCommand]


def find(
    directory: Path, computes: Collection[str], commands: _Commands | None = None
) -> tuple[ConfiguredService, ...]:
    """Return all services whose files are in a directory.

    :param computes: names of compute hosts; any other host belongs to the control plane
    :param commands: command lines of services, on all hosts; a file that they name is looked up by
        its name in the directory of the service's other files
    :raises UserError: if there are no services, or a file is malformed or cannot be read
    """
    try:
        hosts = sorted(path for path in directory.iterdir() if path.is_dir())
    except OSError as error:
        raise UserError(f"--config {directory}: {error.strerror or error}; {_EXPECTED}") from None
    services = [
        service for host in hosts for service in _host_services(host, computes, commands or {})
    ]
    if not services:
        raise UserError(f"--config {directory}: no configuration of Nova found, {_EXPECTED}")
    return tuple(services)


def _host_services(
    root: Path, computes: Collection[str], commands: _Commands
) -> Iterator[ConfiguredService]:
    host = root.name
    default_roles = (ServiceRole.COMPUTE,) if host in computes else CONTROL_PLANE
    for subdirectory in ("", "nova", "etc", "etc/nova"):
        for service in _nova_services(root / subdirectory, host, default_roles, commands):
            roles = roles_on(host, computes, service.configuration)
            if roles == default_roles:
                yield service
            else:
                yield ConfiguredService(roles, host, service.configuration)
    for subdirectory in ("", "placement", "etc", "etc/placement"):
        yield from _placement_services(root / subdirectory, host)
    for subdirectory in ("", "kolla", "etc/kolla"):
        for name, role in _KOLLA.items():
            if role is ServiceRole.PLACEMENT:
                yield from _placement_services(root / subdirectory / name, host)
            else:
                yield from _nova_services(root / subdirectory / name, host, (role,), commands)
    for subdirectory in _KOLLA_OVERRIDES:
        yield from _kolla_overrides(root / subdirectory, host)


def _nova_services(
    directory: Path, host: str, roles: Sequence[ServiceRole], commands: _Commands
) -> Iterator[ConfiguredService]:
    """Yield the services in a directory; those that read the same files are one."""
    by_files: dict[tuple[Path, ...], list[ServiceRole]] = {}
    for role in roles:
        command = commands.get(role, ServiceCommand(role))
        if files := _files(directory, "nova", role, command):
            by_files.setdefault(files, []).append(role)
    for files, same_files in by_files.items():
        complete = directory / "nova.conf" in files
        yield ConfiguredService(tuple(same_files), host, config_files.read(files, complete))


def _placement_services(directory: Path, host: str) -> Iterator[ConfiguredService]:
    command = ServiceCommand(ServiceRole.PLACEMENT)
    if files := _files(directory, "placement", "placement-api", command):
        complete = directory / "placement.conf" in files
        configuration = config_files.read(files, complete)
        yield ConfiguredService((ServiceRole.PLACEMENT,), host, configuration)


def _files(
    directory: Path, project: str, program: str, command: ServiceCommand
) -> tuple[Path, ...]:
    files = [directory / f"{name}.conf" for name in (project, program)]
    directories = [directory / f"{name}.conf.d" for name in (project, program)]
    paths = command.order(files, directories, lambda path: directory / PurePath(path).name)
    return tuple(path for path in paths if path.is_file())


def _kolla_overrides(directory: Path, deployment_host: str) -> Iterator[ConfiguredService]:
    """Yield services from the files that Kolla-Ansible merges, which are never complete."""
    nova = directory / "nova"
    common = [directory / "global.conf", directory / "nova.conf"]
    for name, role in _KOLLA.items():
        if role is ServiceRole.PLACEMENT:
            files = [directory / "global.conf", directory / "placement.conf"]
        elif role is ServiceRole.COMPUTE:
            continue
        else:
            files = [*common, nova / f"{name}.conf"]
        if existing := [path for path in files if path.is_file()]:
            configuration = config_files.read(existing, complete=False, replacing=True)
            yield ConfiguredService((role,), deployment_host, configuration)
    for host_file in sorted(nova.glob("*/nova.conf")):
        files = [*common, nova / "nova-compute.conf", host_file]
        configuration = config_files.read(
            [path for path in files if path.is_file()], complete=False, replacing=True
        )
        yield ConfiguredService((ServiceRole.COMPUTE,), host_file.parent.name, configuration)
