# SPDX-License-Identifier: Apache-2.0
"""How many more servers of a flavor the quota of a project permits.

Restates what Nova counts for a server (see ``fleet.limits``). Tenants cannot read aliases, so
without a fleet file an alias is taken to have the resource class that its name has by default.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nova_gpu_passthrough.cloud.apply.unified_limits import UNLIMITED
from nova_gpu_passthrough.cloud.fit import gpu_flavors
from nova_gpu_passthrough.cloud.fit.gpu_flavors import GpuFlavor
from nova_gpu_passthrough.cloud.quota import keystone_limits, project_quotas, project_usage
from nova_gpu_passthrough.cloud.quota.caller import Caller
from nova_gpu_passthrough.cloud.quota.model import (
    CLASS_PREFIX,
    ActiveDriver,
    LimitOrigin,
    ResourceQuota,
)
from nova_gpu_passthrough.cloud.view.model import CloudFlavor
from nova_gpu_passthrough.cloud.view.reader import CloudReader
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet import demand, device_names
from nova_gpu_passthrough.fleet.aliases import Alias
from nova_gpu_passthrough.fleet.offers import DeviceKind
from nova_gpu_passthrough.inventory.pci import DeviceType
from nova_gpu_passthrough.nova_rules import alias_string

if TYPE_CHECKING:
    from nova_gpu_passthrough.fleet.resolve import ResolvedFleet

_SERVERS = "servers"
#: Fields of Nova's limits: maximum and usage, by quota of nova.quota.DbQuotaDriver.
_ABSOLUTE = {
    "instances": ("maxTotalInstances", "totalInstancesUsed"),
    "cores": ("maxTotalCores", "totalCoresUsed"),
    "ram": ("maxTotalRAMSize", "totalRAMUsed"),
}
_NAMES = {
    _SERVERS: "servers",
    "instances": "servers",
    "cores": "vCPUs",
    "ram": "MiB of RAM",
    "class:VCPU": "vCPUs",
    "class:PCPU": "dedicated vCPUs",
    "class:MEMORY_MB": "MiB of RAM",
    "class:DISK_GB": "GiB of disk",
}


@dataclass(frozen=True)
class ServerQuota:
    """The quota of a project on everything that a server may use."""

    driver: ActiveDriver
    #: By resource: as unified limits or as Nova's own quotas name them.
    quotas: Mapping[str, ResourceQuota]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class QuotaAnswer:
    """How many more servers of a flavor a quota permits."""

    #: None: any number.
    servers: int | None
    #: What runs out first, with the amounts; empty if nothing does.
    limited_by: str = ""


def find_flavors(
    flavors: Iterable[CloudFlavor], resolved: "ResolvedFleet | None" = None
) -> tuple[tuple[GpuFlavor, ...], list[str]]:
    """Return the flavors that request GPUs, and notes on those that Nova refuses."""
    members = tuple(flavors)
    aliases = {name: _default_alias(name) for flavor in members for name in _alias_names(flavor)}
    if resolved:
        aliases |= demand.by_name(resolved.aliases.values())
    return gpu_flavors.find_by_aliases(members, aliases)


def read(
    reader: CloudReader,
    caller: Caller,
    flavors: Iterable[GpuFlavor],
    project_id: str | None = None,
) -> ServerQuota:
    """Read the quota of a project.

    :param project_id: a project, which needs the role admin; None: that of the caller, which needs
        the role reader in it
    :raises UserError: if Keystone does not list the limits of other projects to the caller
    :raises openstack.exceptions.SDKException: see ``cloud.failures``
    """
    project = project_id or caller.project_id
    limits = keystone_limits.read(reader, caller)
    if limits.only not in (None, project):
        raise UserError("Keystone lists limits of other projects only to role admin")
    driver = project_quotas.read_driver(reader, caller, limits)
    of_project = {} if project == caller.project_id else {"tenant_id": project}
    absolute: dict[str, Any] = reader.nova("/limits", **of_project)["limits"]["absolute"]
    gpus = {
        f"{CLASS_PREFIX}{device_class.resource_class}"
        for one in flavors
        for _, device_class in one.demand.server_demand.device_classes
    }
    notes = [limits.note, project_quotas.gpu_note(reader, driver) if gpus else ""]
    quotas: dict[str, ResourceQuota]
    if driver is ActiveDriver.UNIFIED_LIMITS:
        usage = project_usage.read(reader, [project])[project]
        resources = {name for one in flavors for name in _amounts(one)} | gpus
        quotas = {name: project_quotas.quota(name, project, usage, limits) for name in resources}
        missing = sorted(gpus - limits.registered.keys())
        if missing:
            notes.append(
                f"no limit of {', '.join(missing)} is registered: it is not limited, or an alias "
                "has another resource class, which only the fleet file names"
            )
        quotas[_SERVERS] = _absolute_quota("instances", absolute, _SERVERS)
    else:
        quotas = {name: _absolute_quota(name, absolute, name) for name in _ABSOLUTE}
    return ServerQuota(driver, quotas, tuple(filter(None, notes)))


def answer(server_quota: ServerQuota, flavor: GpuFlavor) -> QuotaAnswer:
    """Return how many more servers of a flavor the quota permits, and what limits them."""
    if server_quota.driver is ActiveDriver.UNIFIED_LIMITS:
        amounts = {_SERVERS: 1, **_amounts(flavor)}
    else:
        size = flavor.flavor
        amounts = {"instances": 1, "cores": size.vcpus, "ram": size.ram_mib}
    best = QuotaAnswer(None)
    for resource, amount in amounts.items():
        quota = server_quota.quotas[resource]
        if quota.left is None or not amount:
            continue
        servers = quota.left // amount
        if best.servers is None or servers < best.servers:
            best = QuotaAnswer(servers, f"{quota.left} of {quota.limit} {_name(resource)} left")
    return best


def _amounts(flavor: GpuFlavor) -> dict[str, int]:
    """Return what a server uses by unified limit, GPUs first."""
    server_demand = flavor.demand.server_demand
    amounts: dict[str, int] = {}
    for request, device_class in server_demand.pci_requests:
        resource = f"{CLASS_PREFIX}{device_class.resource_class}"
        amounts[resource] = amounts.get(resource, 0) + request.count
    for name, amount in server_demand.query.resources:
        amounts[f"{CLASS_PREFIX}{name}"] = amount
    return amounts


def _absolute_quota(name: str, absolute: Mapping[str, Any], resource: str) -> ResourceQuota:
    maximum, used = (absolute[field] for field in _ABSOLUTE[name])
    if maximum == UNLIMITED:
        return ResourceQuota(resource, None, used, LimitOrigin.NONE)
    return ResourceQuota(resource, maximum, used, LimitOrigin.PROJECT)


def _name(resource: str) -> str:
    """Return the name of a resource for readers."""
    resource_class = resource.removeprefix(CLASS_PREFIX)
    return _NAMES.get(resource) or project_quotas.model_of(resource_class) or resource_class


def _alias_names(flavor: CloudFlavor) -> list[str]:
    try:
        return [one.name for one in alias_string.read(flavor.extra_specs)]
    except alias_string.InvalidAliasStringError:
        return []


def _default_alias(name: str) -> Alias:
    resource_class = device_names.default_class_of(name)
    model = project_quotas.model_of(resource_class)
    if model:
        return Alias(name, resource_class, DeviceType.PCI, DeviceKind.GPU, model, "legacy")
    kind = DeviceKind.NIC if name.startswith(f"{DeviceKind.NIC}-") else DeviceKind.AUDIO
    return Alias(name, resource_class, DeviceType.PCI, kind, "", "legacy")
