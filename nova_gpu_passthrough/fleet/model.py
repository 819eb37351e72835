# SPDX-License-Identifier: Apache-2.0
"""The fleet file as immutable data, in the structure of ``schema-v1.json``.

None or an empty value means that the file does not set the key; the generator then chooses.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from nova_gpu_passthrough.fleet.settings import Settings

#: The level of failure domains that has a key of its own.
RACK = "rack"
#: Key of the metadata of a field: the extra spec that it sets.
_EXTRA_SPEC = "extra_spec"


class Mode(enum.StrEnum):
    """How servers use the GPUs of a group."""

    #: Whole GPUs by PCI passthrough.
    PASSTHROUGH = "passthrough"
    #: Mediated devices or VFs of NVIDIA's or AMD's vGPU software (resource class VGPU).
    VGPU = "vgpu"
    #: Slices of NVIDIA's Multi-Instance GPU.
    MIG = "mig"


class QuotaDriver(enum.StrEnum):
    """Nova's ``[quota] driver``, which keeps the limits."""

    #: nova.quota.UnifiedLimitsDriver, with limits in Keystone.
    UNIFIED_LIMITS = "unified-limits"
    #: nova.quota.DbQuotaDriver: instances, cores and RAM; it counts neither GPUs nor disk.
    NOVA = "nova"


@dataclass(frozen=True)
class HostGroup:
    """A group of equal hosts, which becomes one host aggregate."""

    name: str
    #: Patterns of inventory files, relative to the fleet file.
    inventories: tuple[str, ...]
    mode: Mode = Mode.PASSTHROUGH
    #: Default: ``gpu-<name>``.
    aggregate: str | None = None
    availability_zone: str | None = None
    #: Metadata of the aggregate, besides what the generator sets.
    metadata: dict[str, str] = field(default_factory=dict)
    #: Names or ids of the projects that alone use the hosts; empty: every project may.
    projects: tuple[str, ...] = ()

    @property
    def aggregate_name(self) -> str:
        """Return the name of the host aggregate."""
        return self.aggregate or f"gpu-{self.name}"


@dataclass(frozen=True)
class HostRule:
    """What inventories do not contain of some hosts: their failure domains."""

    #: Names of hosts, or patterns such as ``gpu0*``.
    names: tuple[str, ...]
    rack: str | None = None
    #: Names of other failure domains by level, such as ``room`` or ``power``.
    domains: dict[str, str] = field(default_factory=dict)

    @property
    def all_domains(self) -> dict[str, str]:
        """Return the names of its failure domains by level, the rack included."""
        return self.domains if self.rack is None else {RACK: self.rack, **self.domains}


@dataclass(frozen=True)
class AliasRule:
    """Changes to the alias that the generator makes for a model."""

    #: The model in the catalogue or the audit, such as ``H100-SXM5-80GB``.
    model: str
    #: gpu, audio, usb, ucsi or nic.
    kind: str = "gpu"
    #: type-PCI, type-PF or type-VF; None: the most frequent type of the model.
    device_type: str | None = None
    name: str | None = None
    resource_class: str | None = None
    numa_policy: str | None = None


def _extra_spec(key: str, default: Any) -> Any:
    """Declare a field whose value, unless it is None, is the value of an extra spec."""
    return field(default=default, metadata={_EXTRA_SPEC: key})


@dataclass(frozen=True)
class FlavorRule:
    """A rule by which flavors are generated for a GPU model."""

    model: str
    #: Numbers of GPUs of a server; None: powers of two, and all GPUs of a host.
    counts: tuple[int, ...] | None = None
    #: A template with the placeholders of ``consistency.PLACEHOLDERS``.
    name: str = "gpu.{alias}.{count}"
    #: Names of host groups; None: all groups of mode passthrough that have the model.
    groups: tuple[str, ...] | None = None
    #: vCPUs and memory for each GPU; None: the GPU's share of the host.
    vcpus_per_gpu: int | None = None
    ram_mib_per_gpu: int | None = None
    disk_gib: int = 40
    #: NUMA nodes of a server; None: the fewest that have so many GPUs.
    numa_nodes: int | None = _extra_spec("hw:numa_nodes", None)
    #: ``dedicated`` or ``shared``.
    cpu_policy: str = _extra_spec("hw:cpu_policy", "dedicated")
    #: None: 1GB with ``settings.hugepages``, else small.
    page_size: str | None = _extra_spec("hw:mem_page_size", None)
    #: Extra specs that replace those of the generator; an empty value removes one.
    extra_specs: dict[str, str] = field(default_factory=dict)
    #: Whether every project may use the flavors; otherwise only the projects that name them.
    public: bool = False

    def own_extra_specs(self) -> dict[str, str]:
        """Return the extra specs that fields of the rule set."""
        values = {key: getattr(self, name) for key, name in EXTRA_SPEC_FIELDS.items()}
        return {key: str(value) for key, value in values.items() if value is not None}


#: Names of the fields of a flavor rule by the extra spec that they set.
EXTRA_SPEC_FIELDS: Mapping[str, str] = {
    one.metadata[_EXTRA_SPEC]: one.name for one in fields(FlavorRule) if _EXTRA_SPEC in one.metadata
}


@dataclass(frozen=True)
class FixedFlavor:
    """A flavor that the file defines completely: without GPUs, or for vGPU or MIG."""

    name: str
    vcpus: int
    ram_mib: int
    disk_gib: int = 40
    extra_specs: dict[str, str] = field(default_factory=dict)
    public: bool = True


@dataclass(frozen=True)
class Project:
    """A project, the flavors that it may use, and its quotas."""

    #: Name or id in Keystone.
    name: str
    #: Name or id of its domain; None: the domain of the caller, or ``default``.
    domain: str | None = None
    #: Patterns of flavor names, such as ``gpu.h100-*``.
    flavors: tuple[str, ...] = ()
    #: GPUs by alias name, and ``servers``, ``vcpus``, ``ram_mib``, ``disk_gib``.
    quotas: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Quotas:
    """The quota driver and the quotas of projects that set none themselves."""

    driver: QuotaDriver = QuotaDriver.UNIFIED_LIMITS
    #: GPUs by alias name, and ``servers``, ``vcpus``, ``ram_mib``, ``disk_gib``. An alias that is
    #: not named has the quota 0.
    default: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class FleetFile:
    """A fleet file."""

    #: The name of the fleet, such as ``paris-1``; unique in a cloud.
    name: str
    groups: tuple[HostGroup, ...]
    hosts: tuple[HostRule, ...] = ()
    settings: Settings = Settings()
    aliases: tuple[AliasRule, ...] = ()
    flavors: tuple[FlavorRule, ...] = ()
    fixed_flavors: tuple[FixedFlavor, ...] = ()
    projects: tuple[Project, ...] = ()
    quotas: Quotas = Quotas()
    #: The path of the file; patterns of inventories are relative to its directory.
    path: Path = Path("fleet.yaml")
