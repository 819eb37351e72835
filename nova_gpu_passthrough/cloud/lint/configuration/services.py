# SPDX-License-Identifier: Apache-2.0
"""Services on hosts, and the configuration that each of them reads."""

import enum
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from nova_gpu_passthrough.cloud.lint.configuration.config_files import Configuration


class ServiceRole(enum.StrEnum):
    """A service whose configuration affects GPUs."""

    API = "nova-api"
    CONDUCTOR = "nova-conductor"
    SCHEDULER = "nova-scheduler"
    COMPUTE = "nova-compute"
    PLACEMENT = "placement"


CONTROL_PLANE = (ServiceRole.API, ServiceRole.CONDUCTOR, ServiceRole.SCHEDULER)


@dataclass(frozen=True)
class ConfiguredService:
    """One or more services of a host that read the same files."""

    roles: tuple[ServiceRole, ...]
    host: str
    configuration: Configuration

    @property
    def name(self) -> str:
        """``service@host``; ``nova`` for several Nova services."""
        return f"{self.roles[0] if len(self.roles) == 1 else 'nova'}@{self.host}"

    @property
    def is_nova(self) -> bool:
        """Whether this is a service of Nova."""
        return ServiceRole.PLACEMENT not in self.roles


#: Options that only the control plane sets: compute nodes do not use the API database.
_CONTROL_PLANE_OPTIONS = (
    ("api_database", "connection"),
    ("filter_scheduler", "enabled_filters"),
    ("filter_scheduler", "weight_classes"),
    ("gpu_passthrough", "policy"),
)
#: Options that only compute nodes with PCI devices set.
_COMPUTE_OPTIONS = (("pci", "device_spec"), ("pci", "report_in_placement"))


def roles_on(
    host: str, computes: Collection[str], configuration: Configuration
) -> tuple[ServiceRole, ...]:
    """Return the Nova services that read files of which only the host name is known.

    :param computes: names of compute hosts; any other host runs the control plane, unless its files
        set none of the options that the control plane requires
    """
    if host in computes:
        return (ServiceRole.COMPUTE,)
    if any(configuration.all(option) for option in _CONTROL_PLANE_OPTIONS):
        return CONTROL_PLANE
    compute = configuration.complete or any(map(configuration.all, _COMPUTE_OPTIONS))
    return (ServiceRole.COMPUTE,) if compute else CONTROL_PLANE


def with_roles(
    services: Iterable[ConfiguredService], *roles: ServiceRole
) -> tuple[ConfiguredService, ...]:
    """Return the services that have at least one of the roles."""
    return tuple(service for service in services if set(service.roles).intersection(roles))


def replace_services(
    services: Iterable[ConfiguredService], replacements: Iterable[ConfiguredService]
) -> tuple[ConfiguredService, ...]:
    """Return all services, with the replacements in place of the same services."""
    replacements = tuple(replacements)
    replaced = {(role, service.host) for service in replacements for role in service.roles}
    kept = []
    for service in services:
        roles = tuple(role for role in service.roles if (role, service.host) not in replaced)
        if roles:
            kept.append(ConfiguredService(roles, service.host, service.configuration))
    return (*kept, *replacements)
