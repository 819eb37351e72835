# SPDX-License-Identifier: Apache-2.0
"""Quotas of GPUs that contradict which flavors with these GPUs a project may use.

For flavors and projects that the fleet file names, its values are compared, which
``nova-gpu apply`` sets; for all others those of the cloud. Only unified limits count GPUs.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nova_gpu_passthrough.cloud.apply.unified_limits import UNLIMITED
from nova_gpu_passthrough.cloud.lint.check import lint_check
from nova_gpu_passthrough.cloud.lint.checked_flavors import CheckedFlavor, checked_flavors
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.fleet.desired_state import ProjectName
from nova_gpu_passthrough.fleet.offers import DeviceKind
from nova_gpu_passthrough.inventory.findings import Finding, Severity
from nova_gpu_passthrough.inventory.shell_fix import command, comment, script

_KEYSTONE = "Keystone, limits"


@dataclass(frozen=True)
class _GpuFlavor:
    """A flavor with GPUs of the fleet, and who may use it."""

    name: str
    #: GPUs by resource of unified limits.
    gpus: Mapping[str, int]
    #: Keys of projects; None: all.
    projects: frozenset[str] | None
    #: In Nova; None for a flavor of the fleet file.
    id: str | None


@dataclass(frozen=True)
class _Project:
    """A project with limits on GPUs, or with access to flavors that have them."""

    #: Its id if the cloud was read, otherwise its name.
    key: str
    name: str
    #: Its own limits on GPUs, by resource.
    limits: Mapping[str, int]
    in_fleet: bool


@lint_check(drift=False)
def check(facts: Facts) -> Iterator[Finding]:
    """Check each project, then flavors that are for all projects."""
    if not _counts_gpus(facts):
        return
    defaults, flavors = _defaults(facts), list(_flavors(facts))
    projects = list(_projects(facts, flavors))
    for project in projects:
        for resource, alias in _resources(facts).items():
            usable = [
                flavor
                for flavor in flavors
                if resource in flavor.gpus
                and (flavor.projects is None or project.key in flavor.projects)
            ]
            yield from _without_quota(facts, project, resource, alias, usable, defaults)
            yield from _without_flavor(facts, project, resource, alias, usable, flavors)
    for resource, alias in _resources(facts).items():
        yield from _public(facts, resource, alias, flavors, projects, defaults)


def _counts_gpus(facts: Facts) -> bool:
    """Return whether Nova seems to count the GPUs of servers."""
    if facts.desired.quota_driver != "unified-limits":
        return False
    if not facts.resolved.settings.release.counts_aliases:
        return False
    return bool(facts.desired.limits) or (facts.cloud is not None and facts.cloud.unified)


def _resources(facts: Facts) -> dict[str, str]:
    """Return the names of the fleet's GPU aliases by resource of unified limits."""
    return {
        f"class:{alias.resource_class}": alias.name
        for alias in facts.aliases.values()
        if alias.kind is DeviceKind.GPU
    }


def _defaults(facts: Facts) -> dict[str, int]:
    """Return the limits of projects without their own, by resource."""
    cloud = facts.cloud.registered_limits if facts.cloud else None
    desired = {one.resource: one.value for one in facts.desired.limits if one.project is None}
    return {**(cloud or {}), **desired}


def _key(facts: Facts, project: ProjectName) -> str:
    known = facts.cloud.project_ids.get(project) if facts.cloud else None
    return known or _label(project)


def _label(project: ProjectName) -> str:
    return f"{project.name} of domain {project.domain}" if project.domain else project.name


def _flavors(facts: Facts) -> Iterator[_GpuFlavor]:
    desired = {flavor.name: flavor for flavor in facts.desired.flavors}
    in_cloud = {flavor.name: flavor for flavor in facts.cloud.view.flavors} if facts.cloud else {}
    seen = set()
    for flavor in checked_flavors(facts):
        gpus = _gpus(facts, flavor)
        if not gpus or flavor.name in seen:
            # A flavor of the cloud that differs from the fleet file's is replaced by it.
            continue
        seen.add(flavor.name)
        keys: Iterable[str] | None
        if flavor.name in desired:
            named = desired[flavor.name].projects
            keys = None if named is None else [_key(facts, one) for one in named]
        else:
            keys = in_cloud[flavor.name].projects
        yield _GpuFlavor(flavor.name, gpus, None if keys is None else frozenset(keys), flavor.id)


def _gpus(facts: Facts, flavor: CheckedFlavor) -> dict[str, int]:
    return {
        f"class:{alias.resource_class}": count
        for alias, count in flavor.fleet_devices(facts).items()
        if alias.kind is DeviceKind.GPU and count
    }


def _projects(facts: Facts, flavors: Sequence[_GpuFlavor]) -> Iterator[_Project]:
    resources = _resources(facts)
    limits: dict[str, dict[str, int]] = {}
    for key, in_cloud in (facts.cloud.project_limits if facts.cloud else {}).items():
        limits[key] = {name: one.value for name, one in in_cloud.items() if name in resources}
    named = {_key(facts, project): project for project in _named(facts)}
    for key, project in named.items():
        limits.setdefault(key, {}).update(
            (one.resource, one.value)
            for one in facts.desired.limits
            if one.project == project and one.resource in resources
        )
    keys = {key for key, own in limits.items() if own}
    keys |= {key for flavor in flavors for key in flavor.projects or ()}
    names = facts.cloud.project_names if facts.cloud else {}
    for key in sorted(keys):
        name = _label(named[key]) if key in named else names.get(key, key)
        yield _Project(key, name, limits.get(key, {}), key in named)


def _named(facts: Facts) -> Iterator[ProjectName]:
    for project in facts.resolved.file.projects:
        yield ProjectName(project.name, project.domain)


def _without_quota(
    facts: Facts,
    project: _Project,
    resource: str,
    alias: str,
    usable: Sequence[_GpuFlavor],
    defaults: Mapping[str, int],
) -> Iterator[Finding]:
    """Report a project that may use flavors, and none of them by its quota."""
    own = [flavor for flavor in usable if flavor.projects is not None]
    limit = project.limits.get(resource, defaults.get(resource, UNLIMITED))
    least = min((flavor.gpus[resource] for flavor in own), default=0)
    if not own or limit == UNLIMITED or limit >= least:
        return
    whose = "its" if resource in project.limits else "the default"
    names = _few([flavor.name for flavor in own])
    yield Finding(
        "quota.too_small",
        Severity.FAILURE,
        f"project {project.name}",
        f"it may use {names}, with at least {least} of {alias}, but {whose} limit of {resource} is "
        f"{limit}",
        str(facts.resolved.file.path) if project.in_fleet else _KEYSTONE,
        "Nova refuses every server of the project with these flavors (quota exceeded).",
        _raise_limit(facts, project, resource, alias, least),
    )


def _raise_limit(facts: Facts, project: _Project, resource: str, alias: str, least: int) -> str:
    """Return how to raise a project's limit to the least that a flavor needs."""
    if project.in_fleet or facts.cloud is None:
        return script(
            facts.fixes.edit_fleet(
                f"set quotas of project {project.name} to {{{alias}: {least}}} or more",
                facts.fixes.apply(),
            ),
            comment("Or remove the flavors from its flavors."),
        )
    known = facts.cloud.project_limits.get(project.key, {}).get(resource)
    if known is not None:
        return command("openstack", "limit", "set", "--resource-limit", least, known.id)
    scope = facts.cloud.limit_scope
    place = ("--service", scope.service, "--region", scope.region) if scope else ()
    return command(
        *("openstack", "limit", "create", *place, "--project", project.key),
        *("--resource-limit", least, resource),
    )


def _without_flavor(
    facts: Facts,
    project: _Project,
    resource: str,
    alias: str,
    usable: Sequence[_GpuFlavor],
    flavors: Sequence[_GpuFlavor],
) -> Iterator[Finding]:
    """Report a quota of GPUs of a project that may use no flavor with such a GPU."""
    limit = project.limits.get(resource, 0)
    if not limit or usable:
        return
    others = sorted(
        (flavor for flavor in flavors if resource in flavor.gpus),
        key=lambda flavor: flavor.gpus[resource],
    )
    yield Finding(
        "quota.no_flavor",
        Severity.WARNING,
        f"project {project.name}",
        f"its limit of {resource} is {'unlimited' if limit == UNLIMITED else limit}, but it may "
        f"use no flavor with {alias}",
        str(facts.resolved.file.path) if project.in_fleet else _KEYSTONE,
        "The project can create no server that uses its quota.",
        _give_flavor(facts, project, alias, others),
    )


def _give_flavor(facts: Facts, project: _Project, alias: str, flavors: Sequence[_GpuFlavor]) -> str:
    """Return how to give a project access to a flavor."""
    if not flavors:
        return f"Create a flavor with {alias}, or remove the quota of project {project.name}."
    smallest = flavors[0]
    if smallest.id:
        return script(
            comment("Or delete the limit."),
            command("openstack", "flavor", "set", "--project", project.key, smallest.id),
        )
    return script(
        facts.fixes.edit_fleet(
            f"add {smallest.name} to flavors of project {project.name}", facts.fixes.apply()
        ),
        comment(f"Or remove {alias} from its quotas."),
    )


def _public(
    facts: Facts,
    resource: str,
    alias: str,
    flavors: Sequence[_GpuFlavor],
    projects: Sequence[_Project],
    defaults: Mapping[str, int],
) -> Iterator[Finding]:
    """Report flavors for all projects that the default limit lets nobody use."""
    public = [flavor for flavor in flavors if flavor.projects is None and resource in flavor.gpus]
    least = min((flavor.gpus[resource] for flavor in public), default=0)
    limit = defaults.get(resource, UNLIMITED)
    if not public or limit == UNLIMITED or limit >= least:
        return
    enough = [
        project.name
        for project in projects
        if project.limits.get(resource, 0) == UNLIMITED or project.limits.get(resource, 0) >= least
    ]
    users = f"only {_few(enough)} may have more" if enough else "and no project may have more"
    yield Finding(
        "quota.default_too_small",
        Severity.WARNING,
        resource,
        f"{_few([flavor.name for flavor in public])} are for every project, with at least {least} "
        f"of {alias}, but the default limit is {limit}, {users}",
        _KEYSTONE if facts.cloud else str(facts.resolved.file.path),
        "Other projects see these flavors, and Nova refuses all their servers (quota exceeded).",
        script(
            facts.fixes.edit_fleet(
                f"set quotas.default.{alias} to {least} or more", facts.fixes.apply()
            ),
            comment("Or leave public out of the flavors, and name them in flavors of projects."),
        ),
    )


def _few(names: Sequence[str]) -> str:
    """Return the first names of a list."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"
