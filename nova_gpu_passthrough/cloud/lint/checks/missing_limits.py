# SPDX-License-Identifier: Apache-2.0
"""Unified limits: resources of the fleet's flavors without a registered limit in Keystone.

For each server that requests such a resource, oslo.limit logs an ERROR in nova-api and
nova-conductor (``_get_limit`` in oslo_limit/limit.py). Then ``[quota]
unified_limits_resource_strategy`` and ``..._list`` determine whether Nova refuses the server
(``should_enforce`` in nova/limit/utils.py).
"""

from collections.abc import Iterator

from nova_gpu_passthrough.cloud.apply.change import ResourceKind
from nova_gpu_passthrough.cloud.lint.check import lint_check
from nova_gpu_passthrough.cloud.lint.checks import quota
from nova_gpu_passthrough.cloud.lint.configuration.services import ServiceRole
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.inventory.findings import Finding, Severity

#: Nova's default for unified_limits_resource_list, with the strategy require.
_REQUIRED = ("servers",)


@lint_check(drift=False)
def check(facts: Facts) -> Iterator[Finding]:
    """Check every resource of the fleet's flavors; apply adds those limits that its plan has."""
    cloud = facts.cloud
    if cloud is None or cloud.registered_limits is None or not _unified(facts):
        return
    pending = {
        change.name for change in cloud.plan.changes if change.kind is ResourceKind.REGISTERED_LIMIT
    }
    for resource in sorted(_used(facts) - set(cloud.registered_limits) - pending):
        refusing = _refusing(facts, resource)
        effect = (
            f"{refusing} refuses servers that use it"
            if refusing
            else "it is not limited, and Nova logs an ERROR for every server that uses it"
        )
        yield Finding(
            "quota.limit_missing",
            Severity.FAILURE if refusing else Severity.WARNING,
            resource,
            f"no registered limit, so {effect}",
            quota.KEYSTONE,
            "[quota] unified_limits_resource_strategy and unified_limits_resource_list determine "
            "the effect of a missing limit; by default only servers must have one.",
            _command(facts, resource),
        )


def _used(facts: Facts) -> set[str]:
    """Return the resources that Nova counts for the fleet's flavors."""
    used = {"servers", "class:MEMORY_MB"}
    if facts.resolved.settings.release.counts_aliases:
        used |= {f"class:{alias.resource_class}" for alias in facts.aliases.values()}
    for flavor in facts.desired.flavors:
        dedicated = flavor.extra_specs.get("hw:cpu_policy") == "dedicated"
        used.add("class:PCPU" if dedicated else "class:VCPU")
        if flavor.disk_gib:
            used.add("class:DISK_GB")
    return used


def _command(facts: Facts, resource: str) -> str:
    """Return the command that creates a limit without effect, for the operator to adapt."""
    scope = facts.cloud.limit_scope if facts.cloud else None
    place = f"--service {scope.service} --region {scope.region}" if scope else "--service nova"
    return f"openstack registered limit create {place} --default-limit -1 {resource}"


def _unified(facts: Facts) -> bool:
    """Return whether unified limits seem to be active."""
    drivers = [
        service.configuration.text(quota.SECTION, "driver")
        for service in facts.services_with(ServiceRole.API, ServiceRole.CONDUCTOR)
    ]
    if any(drivers):
        return quota.UNIFIED_DRIVER in drivers
    return bool(facts.desired.limits) or (facts.cloud is not None and facts.cloud.unified)


def _refusing(facts: Facts, resource: str) -> str | None:
    """Return the service that refuses a resource without a registered limit, or None."""
    services = facts.services_with(ServiceRole.API, ServiceRole.CONDUCTOR)
    if not services:
        return "nova-api" if resource in _REQUIRED else None
    for service in services:
        configuration = service.configuration
        strategy = configuration.text(quota.SECTION, "unified_limits_resource_strategy", "require")
        resources = configuration.names(quota.SECTION, "unified_limits_resource_list")
        listed = resource in (_REQUIRED if resources is None else resources)
        # The list contains the required or the ignored resources.
        if listed is (strategy == "require"):
            return service.name
    return None
