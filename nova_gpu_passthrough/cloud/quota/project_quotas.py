# SPDX-License-Identifier: Apache-2.0
"""Put limits and usages of projects together."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from openstack import exceptions

from nova_gpu_passthrough.catalog import models
from nova_gpu_passthrough.cloud.apply.unified_limits import UNLIMITED
from nova_gpu_passthrough.cloud.quota import caller as callers
from nova_gpu_passthrough.cloud.quota import keystone_limits, project_usage
from nova_gpu_passthrough.cloud.quota.caller import Caller
from nova_gpu_passthrough.cloud.quota.keystone_limits import KeystoneLimits
from nova_gpu_passthrough.cloud.quota.model import (
    CLASS_PREFIX,
    ActiveDriver,
    CloudQuotas,
    LimitOrigin,
    ProjectQuotas,
    ResourceQuota,
)
from nova_gpu_passthrough.cloud.quota.project_usage import ListedProject
from nova_gpu_passthrough.cloud.view import providers
from nova_gpu_passthrough.cloud.view.reader import CloudReader
from nova_gpu_passthrough.fleet import device_names
from nova_gpu_passthrough.fleet.offers import DeviceKind
from nova_gpu_passthrough.fleet.releases import first_with

if TYPE_CHECKING:
    from openstack.connection import Connection

    from nova_gpu_passthrough.cloud.view.reader import Progress
    from nova_gpu_passthrough.fleet.resolve import ResolvedFleet

#: Selects projects by what Keystone lists, and the ids of those that have limits of their own.
SelectProjects = Callable[[tuple[ListedProject, ...], Collection[str]], Iterable[ListedProject]]


def read(
    connection: "Connection",
    resolved: "ResolvedFleet | None" = None,
    progress: "Progress | None" = None,
    select: SelectProjects = lambda listed, with_limits: listed,
) -> CloudQuotas:
    """Read limits and usages of GPUs.

    :param resolved: the fleet, whose aliases name models and resource classes
    :param select: chooses the projects whose usage is read: one request for each
    :raises UserError: if the token is for no project, or limits are not complete
    :raises openstack.exceptions.SDKException, keystoneauth1.exceptions.ClientException: see
        ``cloud.failures``
    """
    reader = CloudReader(connection, progress)
    caller = callers.read(connection)
    limits = keystone_limits.read(reader, caller)
    driver = read_driver(reader, caller, limits)
    listed, all_projects = project_usage.projects(reader, caller)
    chosen = tuple(select(listed, limits.by_project.keys()))
    usages = _usages(reader, caller, chosen)
    if usages is None:
        # Keystone's policy permits more than Placement's.
        all_projects = False
        own = tuple(one for one in listed if one.id == caller.project_id)
        chosen = tuple(select(own, limits.by_project.keys()))
        usages = project_usage.read(reader, [project.id for project in chosen])
    known = _models(limits, usages.values(), resolved)
    found = (
        ProjectQuotas(
            project.id,
            project.name,
            {
                resource: quota(resource, project.id, usages[project.id], limits, driver)
                for resource in sorted(known)
            },
        )
        for project in chosen
    )
    others = ""
    if not all_projects:
        others = f"only project {caller.project_name} is shown: all projects need role admin"
    elif limits.only and driver is ActiveDriver.UNIFIED_LIMITS:
        others = "Keystone lists limits of other projects only to role admin"
    notes = (
        limits.note,
        gpu_note(reader, driver) if known else "",
        _missing_note(driver, limits, known),
        others,
    )
    return CloudQuotas(
        driver,
        tuple(sorted(found, key=lambda project: (project.name, project.id))),
        known,
        all_projects,
        tuple(filter(None, notes)),
    )


def read_driver(reader: CloudReader, caller: Caller, limits: KeystoneLimits) -> ActiveDriver:
    """Find out which quota driver Nova uses; everyone may read the default quotas."""
    defaults = reader.nova(f"/os-quota-sets/{caller.project_id}/defaults")["quota_set"]
    return keystone_limits.active_driver(defaults, limits.registered)


def quota(
    resource: str,
    project_id: str,
    usage: Mapping[str, int],
    limits: KeystoneLimits,
    driver: ActiveDriver = ActiveDriver.UNIFIED_LIMITS,
) -> ResourceQuota:
    """Return the limit on a resource of Placement; only unified limits have such limits.

    :param usage: used amounts by resource class
    """
    used = usage.get(resource.removeprefix(CLASS_PREFIX), 0)
    own = limits.by_project.get(project_id, {}).get(resource)
    value = limits.registered.get(resource) if own is None else own
    if driver is not ActiveDriver.UNIFIED_LIMITS or value is None:
        return ResourceQuota(resource, None, used, LimitOrigin.NONE)
    if limits.only not in (None, project_id):
        return ResourceQuota(resource, None, used, LimitOrigin.UNKNOWN)
    origin = LimitOrigin.DEFAULT if own is None else LimitOrigin.PROJECT
    return ResourceQuota(resource, None if value == UNLIMITED else value, used, origin)


def model_of(name: str) -> str | None:
    """Return the GPU model of a resource class, by Nova's name of it or by ours."""
    return providers.model_of(name) or device_names.model_of_class(name, models.names())


def gpu_note(reader: CloudReader, driver: ActiveDriver) -> str:
    """Describe why Nova limits no GPUs; empty if it does."""
    release = first_with("counts_aliases")
    if driver is ActiveDriver.NONE:
        return "Nova limits nothing: its [quota] driver seems to be nova.quota.NoopQuotaDriver"
    if driver is ActiveDriver.NOVA:
        return (
            "Nova uses its own quotas ([quota] driver = nova.quota.DbQuotaDriver), which limit "
            "servers, vCPUs and RAM, but no GPUs: restrict GPU flavors to projects, or use unified "
            "limits"
        )
    if reader.nova_maximum < release.microversion:
        return (
            f"Nova is older than {release.nova} ({release.series}) and does not count GPUs that "
            "flavors request by aliases (bug 2140631): limits on GPUs have no effect"
        )
    return ""


def _missing_note(driver: ActiveDriver, limits: KeystoneLimits, resources: Collection[str]) -> str:
    missing = sorted(set(resources) - limits.registered.keys())
    if driver is not ActiveDriver.UNIFIED_LIMITS or not missing:
        return ""
    return (
        f"Keystone has no registered limit of {', '.join(missing)}, so Nova does not limit it "
        "(unless [quota] unified_limits_resource_list requires one)"
    )


def _usages(
    reader: CloudReader, caller: Caller, chosen: Iterable[ListedProject]
) -> dict[str, dict[str, int]] | None:
    """Read usages; None if Placement shows only that of the caller's project."""
    ids = [project.id for project in chosen]
    try:
        return project_usage.read(reader, ids)
    except exceptions.ForbiddenException:
        if ids == [caller.project_id]:
            raise
        return None


def _models(
    limits: KeystoneLimits,
    usages: Iterable[Mapping[str, int]],
    resolved: "ResolvedFleet | None",
) -> dict[str, str]:
    """Return the models of GPUs that are limited, used or in the fleet, by resource."""
    resources = set(limits.registered)
    resources |= {f"{CLASS_PREFIX}{name}" for usage in usages for name in usage}
    found = {}
    for resource in resources:
        if resource.startswith(CLASS_PREFIX):
            model = model_of(resource.removeprefix(CLASS_PREFIX))
            if model:
                found[resource] = model
    if resolved:
        found |= {
            f"{CLASS_PREFIX}{alias.resource_class}": alias.model
            for alias in resolved.aliases.values()
            if alias.kind is DeviceKind.GPU
        }
    return found
