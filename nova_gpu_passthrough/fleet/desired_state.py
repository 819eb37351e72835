# SPDX-License-Identifier: Apache-2.0
"""The desired state of a cloud as immutable data, made by ``derive_state`` from a fleet file."""

from dataclasses import dataclass, field


@dataclass(frozen=True, order=True)
class ProjectName:
    """The name of a project in the fleet file."""

    name: str
    domain: str | None = None


@dataclass(frozen=True)
class Flavor:
    """A desired flavor, with or without GPUs."""

    name: str
    vcpus: int
    ram_mib: int
    disk_gib: int
    extra_specs: dict[str, str] = field(default_factory=dict)
    #: Projects that may use it; None: it is public.
    projects: tuple[ProjectName, ...] | None = None
    #: The number and the model of the GPUs of a server; 0 and None without GPUs.
    gpus: int = 0
    model: str | None = None


@dataclass(frozen=True)
class Aggregate:
    """A desired host aggregate."""

    name: str
    hosts: tuple[str, ...]
    metadata: dict[str, str] = field(default_factory=dict)
    availability_zone: str | None = None
    #: Projects that alone use the hosts; None: every project may.
    projects: tuple[ProjectName, ...] | None = None


@dataclass(frozen=True)
class Limit:
    """A desired limit, by the resource name of its quota driver.

    Unified limits: ``servers``, ``class:VCPU``, ``class:PCPU``, ``class:MEMORY_MB``,
    ``class:DISK_GB``, ``class:CUSTOM_PCI_...``. Nova's own quotas: ``instances``, ``cores``,
    ``ram`` (MiB).
    """

    resource: str
    value: int
    #: None: the default for all projects (a registered limit in Keystone, the quota class
    #: ``default`` in Nova).
    project: ProjectName | None = None


@dataclass(frozen=True)
class DesiredState:
    """Everything that a cloud should have for a fleet, each resource type sorted by name."""

    #: The name of the fleet.
    fleet: str
    traits: tuple[str, ...] = ()
    resource_classes: tuple[str, ...] = ()
    aggregates: tuple[Aggregate, ...] = ()
    flavors: tuple[Flavor, ...] = ()
    #: ``unified-limits`` or ``nova``.
    quota_driver: str = "unified-limits"
    limits: tuple[Limit, ...] = ()
    #: Resources that unified limits count for servers of the fleet and that have no limit here.
    unlimited: tuple[str, ...] = ()
    #: Resource classes of GPUs by alias name, which identify other GPU flavors of the cloud.
    aliases: dict[str, str] = field(default_factory=dict)
