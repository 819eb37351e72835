# SPDX-License-Identifier: Apache-2.0
"""Make the desired limits of Nova's quota drivers from the quotas of a fleet file.

``nova.quota.UnifiedLimitsDriver`` (nova/limit/placement.py) counts the resources of a server in
Placement as ``class:NAME``, so pinned vCPUs as PCPU and others as VCPU, and servers as ``servers``.
It counts the devices of PCI aliases only in newer releases (`Release.counts_aliases`;
``request_spec_for_limits`` in nova/scheduler/utils.py, bug 2140631). ``nova.quota.DbQuotaDriver``
counts instances, cores and RAM, but neither GPUs nor disk.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from nova_gpu_passthrough.fleet.consistency import AMOUNTS
from nova_gpu_passthrough.fleet.desired_state import Flavor, Limit, ProjectName
from nova_gpu_passthrough.fleet.model import Project, QuotaDriver
from nova_gpu_passthrough.fleet.offers import DeviceKind, Note
from nova_gpu_passthrough.fleet.references import (
    classes_of_fixed_flavors,
    gpu_aliases,
    requested_devices,
)
from nova_gpu_passthrough.fleet.releases import first_with

if TYPE_CHECKING:
    from nova_gpu_passthrough.fleet.resolve import ResolvedFleet

_UNIFIED = {
    "servers": ("servers",),
    # The flavor decides which of them a server uses.
    "vcpus": ("class:PCPU", "class:VCPU"),
    "ram_mib": ("class:MEMORY_MB",),
    # The root disk of a server that boots from a volume does not count
    # (resources_from_flavor_and_bfv in nova/scheduler/utils.py).
    "disk_gib": ("class:DISK_GB",),
}
_NOVA = {"servers": ("instances",), "vcpus": ("cores",), "ram_mib": ("ram",)}


def make(resolved: "ResolvedFleet") -> tuple[Limit, ...]:
    """Make all limits, the default of a resource first; none if the file has no quotas."""
    file = resolved.file
    if not file.quotas.default and not any(project.quotas for project in file.projects):
        return ()
    defaults = dict(file.quotas.default)
    if file.quotas.driver is QuotaDriver.UNIFIED_LIMITS:
        defaults = {**dict.fromkeys(_counted(resolved), 0), **defaults}
    limits = [*_limits(resolved, defaults, None)]
    for project in file.projects:
        limits += _limits(resolved, project.quotas, ProjectName(project.name, project.domain))
    return tuple(sorted(limits, key=_order))


def unlimited(resolved: "ResolvedFleet") -> tuple[str, ...]:
    """Return the resources of the fleet that unified limits count and the file does not limit.

    Without a registered limit, oslo.limit logs an ERROR for each server that requests them
    (``_get_limit`` in oslo_limit/limit.py).
    """
    if resolved.file.quotas.driver is not QuotaDriver.UNIFIED_LIMITS:
        return ()
    classes = set(classes_of_fixed_flavors(resolved.file))
    if resolved.settings.release.counts_aliases:
        classes |= {alias.resource_class for alias in resolved.aliases.values()}
    limited = {limit.resource for limit in make(resolved) if limit.project is None}
    amounts = {resource for resources in _UNIFIED.values() for resource in resources}
    return tuple(sorted({f"class:{name}" for name in classes} - limited - amounts))


def notes(resolved: "ResolvedFleet", flavors: Sequence[Flavor]) -> Iterator[Note]:
    """Yield notes about limits without effect and limits that are too small for a flavor."""
    file = resolved.file
    if not make(resolved):
        return
    release = resolved.settings.release
    if file.quotas.driver is QuotaDriver.UNIFIED_LIMITS and not release.counts_aliases:
        yield Note(
            None,
            f"{release} does not count the GPUs of aliases against unified limits, "
            f"{first_with('counts_aliases')} is the first release that does (bug 2140631): until "
            "then, the limits on GPUs are set but have no effect",
        )
    for project in file.projects:
        for name, (flavor, amount, quota) in _too_small(resolved, project, flavors).items():
            yield Note(
                None,
                f"project {project.name} may use flavor {flavor}, which needs {amount} of {name}, "
                f"but its quota of {name} is {quota}",
            )


def _counted(resolved: "ResolvedFleet") -> list[str]:
    """Return the names that get a default limit even if ``quotas.default`` omits them."""
    names = [alias.name for alias in resolved.aliases.values() if alias.kind is DeviceKind.GPU]
    # Keystone accepts a project's limit only if a registered limit exists. Companions follow GPUs.
    given = {name for project in resolved.file.projects for name in project.quotas}
    companions = {alias.name for alias in resolved.aliases.values() if alias.is_companion}
    return [*names, *sorted(given - set(names) - companions - set(AMOUNTS))]


def _limits(
    resolved: "ResolvedFleet", quotas: Mapping[str, int], project: ProjectName | None
) -> Iterator[Limit]:
    nova = resolved.file.quotas.driver is QuotaDriver.NOVA
    resources = _NOVA if nova else _UNIFIED
    aliases = list(resolved.aliases.values())
    classes = {alias.name: alias.resource_class for alias in aliases}
    for name, value in quotas.items():
        for resource in resources.get(name) or (f"class:{classes.get(name, name)}",):
            yield Limit(resource, value, project)
    for companion in aliases:
        if not companion.is_companion or companion.name in quotas:
            continue
        # A server has as many companions as GPUs.
        gpus = [
            gpu.name
            for gpu in aliases
            if gpu.kind is DeviceKind.GPU and gpu.model == companion.model
        ]
        if any(name in quotas for name in gpus):
            value = sum(quotas.get(name, 0) for name in gpus)
            yield Limit(f"class:{companion.resource_class}", value, project)


def _too_small(
    resolved: "ResolvedFleet", project: Project, flavors: Sequence[Flavor]
) -> dict[str, tuple[str, int, int]]:
    """Return the quotas that are too small for a server, with flavor, amount and quota."""
    project_name = ProjectName(project.name, project.domain)
    usable = [f for f in flavors if f.projects is not None and project_name in f.projects]
    quotas = {**resolved.file.quotas.default, **project.quotas}
    if resolved.file.quotas.driver is QuotaDriver.UNIFIED_LIMITS:
        for alias in gpu_aliases(resolved.aliases):
            quotas.setdefault(alias, 0)
    too_small: dict[str, tuple[str, int, int]] = {}
    for flavor in sorted(usable, key=lambda flavor: flavor.gpus):
        amounts = {
            "servers": 1,
            "vcpus": flavor.vcpus,
            "ram_mib": flavor.ram_mib,
            "disk_gib": flavor.disk_gib,
        }
        amounts |= requested_devices(flavor.extra_specs)
        for name, amount in amounts.items():
            if name in quotas and quotas[name] < amount:
                too_small.setdefault(name, (flavor.name, amount, quotas[name]))
    return too_small


def _order(limit: Limit) -> tuple[str, bool, str, str]:
    project = limit.project
    name, domain = (project.name, project.domain or "") if project else ("", "")
    return limit.resource, project is not None, name, domain
