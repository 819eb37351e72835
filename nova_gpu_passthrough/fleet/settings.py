# SPDX-License-Identifier: Apache-2.0
"""What an operator can ask of the generator."""

import enum
import shlex
from dataclasses import dataclass, fields

from nova_gpu_passthrough.fleet.releases import NEWEST, Release


class Target(enum.StrEnum):
    """Who puts the files in their places."""

    PLAIN = "plain"
    KOLLA = "kolla"
    DEVSTACK = "devstack"


class Distribution(enum.StrEnum):
    """Families of distributions, which differ in boot loader and initramfs tools."""

    DEBIAN = "debian"
    REDHAT = "redhat"
    SUSE = "suse"


#: Nova's default filters (nova/conf/scheduler.py) and the two that look at PCI devices.
ENABLED_FILTERS = (
    "ComputeFilter",
    "ComputeCapabilitiesFilter",
    "ImagePropertiesFilter",
    "ServerGroupAntiAffinityFilter",
    "ServerGroupAffinityFilter",
    "PciPassthroughFilter",
    "NUMATopologyFilter",
)


@dataclass(frozen=True)
class Settings:
    """The defaults need no word from the operator."""

    release: Release = NEWEST
    target: Target = Target.PLAIN
    #: None: what the inventory tells.
    distribution: Distribution | None = None
    #: Cards (by the address of any function) that stay with the host: ``ADDRESS`` or
    #: ``HOST/ADDRESS``.
    exclude: tuple[str, ...] = ()
    #: NICs that servers can ask for by an alias, in the same form.
    nics: tuple[str, ...] = ()
    include_unfit: bool = False
    #: ``numa_policy`` of the aliases.
    numa_policy: str = "legacy"
    one_time_use: bool = False
    #: Filters in the operator's order; ours is added.
    enabled_filters: tuple[str, ...] = ENABLED_FILTERS
    #: ``[gpu_passthrough] policy``.
    policy: str = "pack"
    #: Whole cores of each NUMA node that no server gets; None: one of 32, at least one.
    host_cores: int | None = None
    #: MiB that no server gets; None: see ``memory``.
    reserved_host_memory_mb: int | None = None
    #: Whether servers' memory is made of 1 GiB pages.
    hugepages: bool = False

    def arguments(self) -> str:
        """The options that give these settings, for the head of generated files."""
        words: list[str] = []
        for field in fields(self):
            value = getattr(self, field.name)
            option = "--" + field.name.replace("_", "-")
            if value == field.default:
                continue
            if field.name == "release":
                words += [option, str(value.nova)]
            elif field.name == "enabled_filters":
                words += [option, ",".join(value)]
            elif isinstance(value, tuple):
                # "nics" is given one at a time as --nic.
                words += [word for item in value for word in (option.removesuffix("s"), item)]
            elif value is True:
                words.append(option)
            else:
                words += [option, str(value)]
        return shlex.join(words)
