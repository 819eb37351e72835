# SPDX-License-Identifier: Apache-2.0
"""Quotas of projects as immutable data, independent of how they were read."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

#: Prefix of unified limits that count a resource class of Placement.
CLASS_PREFIX = "class:"


class ActiveDriver(enum.StrEnum):
    """Nova's ``[quota] driver``, as far as its answers show it."""

    #: nova.quota.UnifiedLimitsDriver: limits in Keystone, of all resource classes.
    UNIFIED_LIMITS = "unified-limits"
    #: nova.quota.DbQuotaDriver: instances, cores and RAM; it counts no GPUs.
    NOVA = "nova"
    #: nova.quota.NoopQuotaDriver: no limits.
    NONE = "none"


class LimitOrigin(enum.StrEnum):
    """Where a limit comes from."""

    PROJECT = "project"
    #: The registered limit of the resource, which is that of all projects without their own.
    DEFAULT = "default"
    #: There is no limit.
    NONE = "none"
    #: Keystone does not show it to the caller.
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class ResourceQuota:
    """The limit of a project on one resource, and its usage."""

    #: As unified limits name it, such as ``servers`` or ``class:CUSTOM_GPU_L40S``.
    resource: str
    #: None: no limit, or it is not known.
    limit: int | None
    used: int
    origin: LimitOrigin

    @property
    def left(self) -> int | None:
        """What the project may still use; None: any amount, or it is not known."""
        return None if self.limit is None else max(0, self.limit - self.used)

    @property
    def is_default(self) -> bool:
        """Whether it says no more than the default: nothing is used, and no own limit is set."""
        return self.used == 0 and self.origin is not LimitOrigin.PROJECT


@dataclass(frozen=True)
class ProjectQuotas:
    """All limits and usages of a project."""

    id: str
    #: Its name; with its id, if another project has the same name.
    name: str
    #: By resource.
    quotas: Mapping[str, ResourceQuota] = field(default_factory=dict)


@dataclass(frozen=True)
class CloudQuotas:
    """The limits and usages of GPUs of several projects."""

    driver: ActiveDriver
    #: Sorted by name.
    projects: tuple[ProjectQuotas, ...] = ()
    #: Names of GPU models by resource.
    models: Mapping[str, str] = field(default_factory=dict)
    #: Whether these are all projects, and not only the caller's.
    all_projects: bool = True
    #: What cannot be limited or was not readable, one sentence each.
    notes: tuple[str, ...] = ()
