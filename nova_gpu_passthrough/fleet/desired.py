# SPDX-License-Identifier: Apache-2.0
"""What a cloud shall have, made from a fleet file; what ``apply`` brings about."""

from dataclasses import dataclass, field


@dataclass(frozen=True, order=True)
class ProjectName:
    """A project as the fleet file names it."""

    name: str
    domain: str | None = None


@dataclass(frozen=True)
class Flavor:
    """A flavor, GPU or not."""

    name: str
    vcpus: int
    ram_mib: int
    disk_gib: int
    extra_specs: dict[str, str] = field(default_factory=dict)
    #: Projects (`ProjectName`) that may use it; None: it is public.
    projects: tuple[ProjectName, ...] | None = None
    #: GPUs of a server, and their model; 0 and None for a flavor without.
    gpus: int = 0
    model: str | None = None


@dataclass(frozen=True)
class Aggregate:
    """A host aggregate."""

    name: str
    hosts: tuple[str, ...]
    metadata: dict[str, str] = field(default_factory=dict)
    availability_zone: str | None = None


@dataclass(frozen=True)
class Limit:
    """A limit in the words of its driver.

    Unified limits: ``servers``, ``class:VCPU``, ``class:PCPU``, ``class:MEMORY_MB``,
    ``class:DISK_GB``, ``class:CUSTOM_PCI_...``. Nova's own quotas: ``instances``, ``cores``,
    ``ram`` (MiB).
    """

    resource: str
    value: int
    #: None: what every project gets of which nothing is said (a registered limit in Keystone, the
    #: quota class ``default`` in Nova).
    project: ProjectName | None = None


@dataclass(frozen=True)
class Desired:
    """All of it, each kind in the order of its names."""

    fleet: str
    traits: tuple[str, ...] = ()
    resource_classes: tuple[str, ...] = ()
    aggregates: tuple[Aggregate, ...] = ()
    flavors: tuple[Flavor, ...] = ()
    #: ``unified-limits`` or ``nova``.
    quota_driver: str = "unified-limits"
    limits: tuple[Limit, ...] = ()
    #: Resource classes of GPUs by alias name: tells which other flavors are GPU flavors.
    aliases: dict[str, str] = field(default_factory=dict)
