# SPDX-License-Identifier: Apache-2.0
"""The fleet file as plain immutable data, as ``schema-v1.json`` describes it.

What is None or empty was not said: then the generator's own choice holds.
"""

import enum
from dataclasses import dataclass, field
from pathlib import Path


class Mode(enum.StrEnum):
    """What a group's GPUs are to servers."""

    #: Whole GPUs by PCI passthrough.
    PASSTHROUGH = "passthrough"
    #: Mediated devices or VFs of NVIDIA's or AMD's vGPU software (resource class VGPU).
    VGPU = "vgpu"
    #: Slices of NVIDIA's Multi-Instance GPU.
    MIG = "mig"


class QuotaDriver(enum.StrEnum):
    """Which of Nova's ``[quota] driver`` counts."""

    #: nova.quota.UnifiedLimitsDriver, with limits in Keystone.
    UNIFIED_LIMITS = "unified-limits"
    #: nova.quota.DbQuotaDriver: instances, cores and RAM; it knows neither GPUs nor disk.
    NOVA = "nova"


@dataclass(frozen=True)
class HostGroup:
    """Hosts that are alike, which become one aggregate."""

    name: str
    #: Patterns of inventory files, relative to the fleet file.
    inventories: tuple[str, ...]
    mode: Mode = Mode.PASSTHROUGH
    #: Default: ``gpu-<name>``.
    aggregate: str | None = None
    availability_zone: str | None = None
    #: Of the aggregate, besides what the generator sets.
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class AliasRule:
    """What an alias shall be called or do other than the generator would choose."""

    #: Of the catalogue or the audit, such as ``H100-SXM5-80GB``.
    model: str
    #: gpu, audio, usb, ucsi or nic.
    kind: str = "gpu"
    #: type-PCI, type-PF or type-VF; None: the one that most devices of the model have.
    device_type: str | None = None
    name: str | None = None
    resource_class: str | None = None
    numa_policy: str | None = None


@dataclass(frozen=True)
class FlavorRule:
    """Flavors to be generated for one GPU model."""

    model: str
    #: GPUs of a server; None: 1, 2, 4, 8 and all of a host, as far as hosts have them.
    counts: tuple[int, ...] | None = None
    #: With ``{alias}``, ``{model}``, ``{count}``, ``{vcpus}``, ``{ram_gib}`` and ``{disk_gib}``.
    name: str = "gpu.{alias}.{count}"
    #: Names of host groups; None: all that have the model and mode passthrough.
    groups: tuple[str, ...] | None = None
    #: Each GPU's; None: its share of the host.
    vcpus_per_gpu: int | None = None
    ram_mib_per_gpu: int | None = None
    disk_gib: int = 40
    #: None: the fewest on which so many GPUs of one host are.
    numa_nodes: int | None = None
    #: ``dedicated`` or ``shared``.
    cpu_policy: str = "dedicated"
    #: ``hw:mem_page_size``; None: 1GB with ``settings.hugepages``, else small.
    page_size: str | None = None
    #: Extra specs set, or with an empty text left out, whatever the generator chose.
    extra_specs: dict[str, str] = field(default_factory=dict)
    #: Whether every project may use them; else those of ``projects`` that name them.
    public: bool = False


@dataclass(frozen=True)
class FixedFlavor:
    """A flavor that is written out: for servers without GPUs, for vGPU and MIG."""

    name: str
    vcpus: int
    ram_mib: int
    disk_gib: int = 40
    extra_specs: dict[str, str] = field(default_factory=dict)
    public: bool = True


@dataclass(frozen=True)
class Project:
    """What a project may use."""

    #: Name or id in Keystone.
    name: str
    #: Name or id of its domain; None: the caller's or ``default``.
    domain: str | None = None
    #: Patterns of flavor names, such as ``gpu.h100-*``.
    flavors: tuple[str, ...] = ()
    #: GPUs by alias name, and ``servers``, ``vcpus``, ``ram_mib``, ``disk_gib``.
    quotas: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Quotas:
    """How limits are kept, and what a project gets of which nothing is said."""

    driver: QuotaDriver = QuotaDriver.UNIFIED_LIMITS
    #: GPUs by alias name, and ``servers``, ``vcpus``, ``ram_mib``, ``disk_gib``; an alias not
    #: named: 0.
    default: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class FleetSettings:
    """Options of ``nova-gpu config generate`` for all hosts; see ``generate/settings.py``."""

    release: str | None = None
    exclude: tuple[str, ...] = ()
    nics: tuple[str, ...] = ()
    include_unfit: bool = False
    numa_policy: str = "legacy"
    one_time_use: bool = False
    enabled_filters: tuple[str, ...] | None = None
    policy: str = "pack"
    host_cores: int | None = None
    reserved_host_memory_mb: int | None = None
    hugepages: bool = False


@dataclass(frozen=True)
class FleetFile:
    """The whole file."""

    #: Names the fleet among others of the same cloud, such as ``paris-1``.
    name: str
    groups: tuple[HostGroup, ...]
    settings: FleetSettings = FleetSettings()
    aliases: tuple[AliasRule, ...] = ()
    flavors: tuple[FlavorRule, ...] = ()
    fixed_flavors: tuple[FixedFlavor, ...] = ()
    projects: tuple[Project, ...] = ()
    quotas: Quotas = Quotas()
    #: Where it was read from; patterns of inventories are relative to its directory.
    path: Path = Path("fleet.yaml")
