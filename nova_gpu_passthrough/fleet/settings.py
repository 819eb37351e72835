# SPDX-License-Identifier: Apache-2.0
"""The settings of generated files, from a fleet file or from the options of a command.

A fleet file and a command have a key or an option of the same name for each field of `Settings`, so
a new setting needs a field here, a property in the schema of fleet files, and an option of
``nova-gpu config generate`` only if it can be set without a fleet file.
"""

import dataclasses
import enum
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from nova_gpu_passthrough.fleet import releases
from nova_gpu_passthrough.fleet.releases import NEWEST, Release
from nova_gpu_passthrough.inventory.host import Distribution
from nova_gpu_passthrough.nova_rules.host_selection import SchedulerOptions


class DeploymentTarget(enum.StrEnum):
    """The deployment tool that the files are generated for."""

    PLAIN = "plain"
    KOLLA = "kolla"
    DEVSTACK = "devstack"


#: Nova's default filters (nova/conf/scheduler.py) and the two that check PCI devices.
ENABLED_FILTERS = (
    "ComputeFilter",
    "ComputeCapabilitiesFilter",
    "ImagePropertiesFilter",
    "ServerGroupAntiAffinityFilter",
    "ServerGroupAffinityFilter",
    "PciPassthroughFilter",
    "NUMATopologyFilter",
)
#: The settings that a command may set although a fleet file is given.
OVERRIDABLE = ("release", "target", "distribution")


def _parse_scheduler_options(values: Mapping[str, Any]) -> SchedulerOptions:
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
    return SchedulerOptions(**given)


def _parse_release(value: object) -> Release:
    return releases.parse(str(value))


@dataclass(frozen=True)
class Settings:
    """The settings of generated files; every field has a default that works.

    The metadata ``parse`` of a field converts its value in a fleet file or an option.
    """

    release: Release = field(default=NEWEST, metadata={"parse": _parse_release})
    target: DeploymentTarget = field(
        default=DeploymentTarget.PLAIN, metadata={"parse": DeploymentTarget}
    )
    #: None: the distribution in the inventory.
    distribution: Distribution | None = field(default=None, metadata={"parse": Distribution})
    #: Cards (by the address of any function) that stay with the host: ``ADDRESS`` or
    #: ``HOST/ADDRESS``.
    exclude: tuple[str, ...] = ()
    #: NICs that servers can request by an alias, in the same form.
    nics: tuple[str, ...] = ()
    include_unfit: bool = False
    #: ``numa_policy`` of the aliases.
    numa_policy: str = "legacy"
    one_time_use: bool = False
    #: Filters in the operator's order; GpuPassthroughFilter is added.
    enabled_filters: tuple[str, ...] = ENABLED_FILTERS
    #: Options of nova-scheduler that these filters read; only a fleet file has them.
    scheduler_options: SchedulerOptions = field(
        default=SchedulerOptions(), metadata={"parse": _parse_scheduler_options}
    )
    #: ``[gpu_passthrough] policy``.
    policy: str = "pack"
    #: Whole cores of each NUMA node that the host keeps; None: one of 32, at least one.
    host_cores: int | None = None
    #: Memory (MiB) that the host keeps; None: a default, see ``memory``.
    reserved_host_memory_mb: int | None = None
    #: Whether the memory of servers consists of 1 GiB pages.
    hugepages: bool = False
    #: Whether servers have no emulated display, pointer and USB controller, and so no console.
    headless: bool = False

    def arguments(self) -> str:
        """Return the command-line options that give these settings, for the head of files."""
        words: list[str] = []
        for setting in fields(self):
            value = getattr(self, setting.name)
            option = option_name(setting.name)
            if value == setting.default or setting.name == "scheduler_options":
                continue
            if setting.name == "release":
                words += [option, str(value.nova)]
            elif setting.name == "enabled_filters":
                words += [option, ",".join(value)]
            elif isinstance(value, tuple):
                words += [word for item in value for word in (option, item)]
            elif value is True:
                words.append(option)
            else:
                words += [option, str(value)]
        return shlex.join(words)


def option_name(setting: str) -> str:
    """Return the command-line option of a setting; ``--nic`` is repeated for ``nics``."""
    return "--nic" if setting == "nics" else "--" + setting.replace("_", "-")


def given_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that values give: those that are not None, False or empty.

    :param values: by the name of the setting; other keys are ignored
    """
    return {
        setting.name: value
        for setting in fields(Settings)
        if (value := values.get(setting.name)) is not None
        and value is not False
        and value not in ([], (), "")
    }


def override(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """Replace the settings that values give.

    :param values: by the name of the setting, as in a fleet file or in the options of a command
    :raises UserError: if the release is not supported
    """
    parsed = {}
    for name, value in given_values(values).items():
        parse = Settings.__dataclass_fields__[name].metadata.get("parse")
        if parse is not None:
            value = parse(value)
        elif isinstance(value, list):
            value = tuple(value)
        parsed[name] = value
    return dataclasses.replace(settings, **parsed)


def make(values: Mapping[str, Any]) -> Settings:
    """Make settings of values, with defaults for what they do not give; see `override`."""
    return override(Settings(), values)
