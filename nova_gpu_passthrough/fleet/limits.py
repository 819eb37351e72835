# SPDX-License-Identifier: Apache-2.0
"""Quotas of a fleet file in the words of Nova's quota drivers.

``nova.quota.UnifiedLimitsDriver`` (nova/limit/placement.py) counts what a server takes in Placement
as ``class:NAME``, so pinned vCPUs as PCPU and others as VCPU, and servers as ``servers``. The
devices of PCI aliases count from Nova 34 on (``request_spec_for_limits`` in
nova/scheduler/utils.py, bug 2140631). ``nova.quota.DbQuotaDriver`` counts instances, cores and
RAM, but neither GPUs nor disk.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from nova_gpu_passthrough.fleet.aliases import Alias
from nova_gpu_passthrough.fleet.consistency import AMOUNTS
from nova_gpu_passthrough.fleet.desired import Flavor, Limit, ProjectName
from nova_gpu_passthrough.fleet.model import Project, QuotaDriver
from nova_gpu_passthrough.fleet.notes import Note
from nova_gpu_passthrough.fleet.offers import Kind
from nova_gpu_passthrough.fleet.references import PCI_ALIAS, gpu_aliases, parse_aliases

if TYPE_CHECKING:
    from nova_gpu_passthrough.fleet.resolve import Resolved

_UNIFIED = {
    "servers": ("servers",),
    # Which of them a server takes depends on its flavor.
    "vcpus": ("class:PCPU", "class:VCPU"),
    "ram_mib": ("class:MEMORY_MB",),
    # A server that boots from a volume takes none for its root disk (resources_from_flavor_and_bfv
    # in nova/scheduler/utils.py).
    "disk_gib": ("class:DISK_GB",),
}
_NOVA = {"servers": ("instances",), "vcpus": ("cores",), "ram_mib": ("ram",)}


def make(resolved: "Resolved") -> tuple[Limit, ...]:
    """All limits, those of projects after the one for all; none if the file has no quotas."""
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


def notes(resolved: "Resolved", flavors: Sequence[Flavor]) -> Iterator[Note]:
    """What of the limits does not do what it says, or keeps a project from its flavors."""
    file = resolved.file
    if not make(resolved):
        return
    release = resolved.settings.release
    if file.quotas.driver is QuotaDriver.UNIFIED_LIMITS and not release.counts_aliases:
        yield Note(
            None,
            f"Nova {release.nova} ({release.series}) does not count the GPUs of aliases against "
            "unified limits, Nova 34 (2026.2) is the first that does (bug 2140631): until then the "
            "limits on GPUs are set and have no effect",
        )
    for project in file.projects:
        for name, (flavor, wanted, quota) in _too_small(resolved, project, flavors).items():
            yield Note(
                None,
                f"project {project.name} may use flavor {flavor}, which takes {wanted} of {name}, "
                f"and its quota of {name} is {quota}",
            )


def _counted(resolved: "Resolved") -> list[str]:
    """Names that get a limit even if the default does not name them."""
    names = [alias.name for alias in resolved.aliases.values() if alias.kind is Kind.GPU]
    # Keystone takes a project's limit only where there is one for all. Companions follow GPUs.
    given = {name for project in resolved.file.projects for name in project.quotas}
    companions = {alias.name for alias in resolved.aliases.values() if _is_companion(alias)}
    return [*names, *sorted(given - set(names) - companions - set(AMOUNTS))]


def _limits(
    resolved: "Resolved", quotas: Mapping[str, int], project: ProjectName | None
) -> Iterator[Limit]:
    nova = resolved.file.quotas.driver is QuotaDriver.NOVA
    words = _NOVA if nova else _UNIFIED
    known = list(resolved.aliases.values())
    classes = {alias.name: alias.resource_class for alias in known}
    for name, value in quotas.items():
        for resource in words.get(name) or (f"class:{classes.get(name, name)}",):
            yield Limit(resource, value, project)
    for companion in known:
        if not _is_companion(companion) or companion.name in quotas:
            continue
        # A server takes as many as GPUs.
        gpus = [gpu.name for gpu in known if gpu.kind is Kind.GPU and gpu.model == companion.model]
        if any(name in quotas for name in gpus):
            value = sum(quotas.get(name, 0) for name in gpus)
            yield Limit(f"class:{companion.resource_class}", value, project)


def _is_companion(alias: Alias) -> bool:
    return alias.kind not in (Kind.GPU, Kind.NIC)


def _too_small(
    resolved: "Resolved", project: Project, flavors: Sequence[Flavor]
) -> dict[str, tuple[str, int, int]]:
    """Quotas that are less than one server takes: the smallest flavor, what it takes, the quota."""
    me = ProjectName(project.name, project.domain)
    mine = [flavor for flavor in flavors if flavor.projects is not None and me in flavor.projects]
    quotas = {**resolved.file.quotas.default, **project.quotas}
    if resolved.file.quotas.driver is QuotaDriver.UNIFIED_LIMITS:
        for alias in gpu_aliases(resolved.aliases):
            quotas.setdefault(alias, 0)
    found: dict[str, tuple[str, int, int]] = {}
    for flavor in sorted(mine, key=lambda flavor: flavor.gpus):
        taken = {
            "servers": 1,
            "vcpus": flavor.vcpus,
            "ram_mib": flavor.ram_mib,
            "disk_gib": flavor.disk_gib,
        }
        taken |= parse_aliases(flavor.extra_specs.get(PCI_ALIAS, ""))
        for name, amount in taken.items():
            if name in quotas and quotas[name] < amount:
                found.setdefault(name, (flavor.name, amount, quotas[name]))
    return found


def _order(limit: Limit) -> tuple[str, bool, str, str]:
    project = limit.project
    name, domain = (project.name, project.domain or "") if project else ("", "")
    return limit.resource, project is not None, name, domain
