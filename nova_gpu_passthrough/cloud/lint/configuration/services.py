# SPDX-License-Identifier: Apache-2.0
"""Which service on which host reads which files."""

import enum
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from nova_gpu_passthrough.cloud.lint.configuration.values import Configuration


class Role(enum.StrEnum):
    """The services whose configuration decides about GPUs."""

    API = "nova-api"
    CONDUCTOR = "nova-conductor"
    SCHEDULER = "nova-scheduler"
    COMPUTE = "nova-compute"
    PLACEMENT = "placement"


CONTROL = (Role.API, Role.CONDUCTOR, Role.SCHEDULER)


@dataclass(frozen=True)
class Service:
    """One or more services of a host that read the same files."""

    roles: tuple[Role, ...]
    host: str
    configuration: Configuration

    @property
    def name(self) -> str:
        """``service@host``; ``nova`` for several of Nova's."""
        return f"{self.roles[0] if len(self.roles) == 1 else 'nova'}@{self.host}"

    @property
    def nova(self) -> bool:
        """Whether it is Nova's."""
        return Role.PLACEMENT not in self.roles


#: What only the control plane is configured with: compute nodes know no API database.
_CONTROLS = (
    ("api_database", "connection"),
    ("filter_scheduler", "enabled_filters"),
    ("filter_scheduler", "weight_classes"),
    ("gpu_passthrough", "policy"),
)


def roles_on(
    host: str, computes: Collection[str], configuration: Configuration
) -> tuple[Role, ...]:
    """Which of Nova's services read files that only the host's name tells of.

    :param computes: names of compute hosts; on any other are the services of the control plane,
        unless its files say nothing that these need
    """
    if host in computes:
        return (Role.COMPUTE,)
    control = any(configuration.all(option) for option in _CONTROLS)
    return CONTROL if control or not configuration.complete else (Role.COMPUTE,)


def of(services: Iterable[Service], *roles: Role) -> tuple[Service, ...]:
    """Those that are one of these."""
    return tuple(service for service in services if set(service.roles).intersection(roles))
