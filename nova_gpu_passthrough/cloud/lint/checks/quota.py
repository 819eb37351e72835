# SPDX-License-Identifier: Apache-2.0
"""Quotas: who counts, and whether the limits are there.

With unified limits, what a resource without a registered limit means is said by ``[quota]
unified_limits_resource_strategy`` and ``..._list`` (``should_enforce`` in nova/limit/utils.py, Nova
31 to 34). GPUs of aliases are counted since Nova 34, where pci_in_placement is on
(``request_spec_for_limits`` in nova/scheduler/utils.py, bug 2140631).
"""

from collections.abc import Iterator

from nova_gpu_passthrough.cloud.apply.change import Kind
from nova_gpu_passthrough.cloud.lint import pci_alias
from nova_gpu_passthrough.cloud.lint.configuration.services import Role, Service
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.inventory.findings import Finding, Severity
from nova_gpu_passthrough.nova_rules import names

_SECTION = "quota"
_UNIFIED = "nova.quota.UnifiedLimitsDriver"
_DRIVERS = {"unified-limits": _UNIFIED, "nova": "nova.quota.DbQuotaDriver"}
_DEFAULT_DRIVER = "nova.quota.DbQuotaDriver"
#: Nova's default of unified_limits_resource_list, with the strategy require.
_REQUIRED = ("servers",)
_KEYSTONE = "Keystone, registered limits"
_OURS = ("class:CUSTOM_GPU_", "class:CUSTOM_PCI_", "class:CUSTOM_NIC_")


def check(facts: Facts) -> Iterator[Finding]:
    """The driver on API and conductor, which count, then the limits."""
    for service in facts.role(Role.API, Role.CONDUCTOR):
        yield from _driver(facts, service)
    yield from _at_work(facts)
    if facts.desired.quota_driver == "unified-limits":
        yield from _uncounted(facts)
        yield from _missing(facts)
    yield from _unused(facts)


def _driver(facts: Facts, service: Service) -> Iterator[Finding]:
    configuration = service.configuration
    found = configuration.text(
        _SECTION, "driver", _DEFAULT_DRIVER if configuration.complete else None
    )
    wanted = _DRIVERS[facts.desired.quota_driver]
    if found is not None and found != wanted and facts.desired.limits:
        yield Finding(
            "quota.driver",
            Severity.FAILURE,
            service.name,
            f"driver is {found}, the fleet file's quotas are for {wanted}",
            configuration.where(_SECTION, "driver"),
            "The limits that nova-gpu apply sets do not count.",
            f"Set [quota] driver = {wanted} on nova-api and nova-conductor, or say quotas.driver "
            "in the fleet file.",
        )


def _at_work(facts: Facts) -> Iterator[Finding]:
    """Whether what nova-api shows as default quotas is the driver's."""
    if facts.cloud is not None and facts.cloud.driver_note:
        yield Finding(
            "quota.driver_at_work",
            Severity.FAILURE,
            "quotas",
            facts.cloud.driver_note,
            "Nova, quota class default",
            "The limits that nova-gpu apply sets do not count.",
            f"Set [quota] driver = {_DRIVERS[facts.desired.quota_driver]} on nova-api and "
            "nova-conductor and restart them, or say quotas.driver in the fleet file.",
        )


def _gpu_limits(facts: Facts) -> list[str]:
    ours = {f"class:{alias.resource_class}" for alias in facts.aliases.values()}
    return sorted({limit.resource for limit in facts.desired.limits} & ours)


def _uncounted(facts: Facts) -> Iterator[Finding]:
    release = facts.resolved.settings.release
    limits = _gpu_limits(facts)
    if limits and not release.counts_aliases:
        yield Finding(
            "quota.aliases_ignored",
            Severity.WARNING,
            "quotas",
            f"limits on {', '.join(limits)}, which Nova {release.nova} ({release.series}) does not "
            "count",
            f"{facts.resolved.file.path}",
            "Before Nova 34 (2026.2), quotas ignore devices of aliases (bug 2140631): a project "
            "can take all GPUs.",
            "Give flavors to projects (projects in the fleet file) and limit servers or PCPU.",
        )


def _missing(facts: Facts) -> Iterator[Finding]:
    """Resources that the fleet's servers take and Keystone has no registered limit of."""
    if facts.cloud is None or facts.cloud.registered_limits is None or not _unified(facts):
        return
    gpus = {f"class:{alias.resource_class}" for alias in facts.aliases.values()}
    counted = facts.resolved.settings.release.counts_aliases
    taken = {"servers", "class:MEMORY_MB"} | (gpus if counted else set())
    for flavor in facts.desired.flavors:
        dedicated = flavor.extra_specs.get("hw:cpu_policy") == "dedicated"
        taken.add("class:PCPU" if dedicated else "class:VCPU")
        if flavor.disk_gib:
            taken.add("class:DISK_GB")
    pending = {
        change.name for change in facts.cloud.plan.changes if change.kind is Kind.REGISTERED_LIMIT
    }
    for resource in sorted(taken - set(facts.cloud.registered_limits) - pending):
        refusing = _refusing(facts, resource)
        if not refusing and (resource not in gpus or not facts.desired.limits):
            # Unlimited, as in any cloud whose operator does not limit it.
            continue
        what = f"{refusing} refuses every server that takes it" if refusing else "it is not limited"
        yield Finding(
            "quota.limit_missing",
            Severity.FAILURE if refusing else Severity.WARNING,
            resource,
            f"no registered limit, so {what}",
            _KEYSTONE,
            "[quota] unified_limits_resource_strategy and unified_limits_resource_list say what a "
            "missing limit means; by Nova's defaults only servers has to have one.",
            "openstack registered limit create --service nova --default-limit N " + resource,
        )


def _unified(facts: Facts) -> bool:
    """Whether unified limits are at work, as far as is known."""
    told = [
        service.configuration.text(_SECTION, "driver")
        for service in facts.role(Role.API, Role.CONDUCTOR)
    ]
    return _UNIFIED in told or (bool(facts.desired.limits) and not any(told))


def _refusing(facts: Facts, resource: str) -> str | None:
    """Who refuses servers that take what has no registered limit; None: nobody."""
    services = facts.role(Role.API, Role.CONDUCTOR)
    if not services:
        return "nova-api" if resource in _REQUIRED else None
    for service in services:
        configuration = service.configuration
        strategy = configuration.text(_SECTION, "unified_limits_resource_strategy", "require")
        listed = configuration.names(_SECTION, "unified_limits_resource_list")
        named = resource in (_REQUIRED if listed is None else listed)
        # A list of what is required, or of what is ignored.
        if named is (strategy == "require"):
            return service.name
    return None


def _unused(facts: Facts) -> Iterator[Finding]:
    if facts.cloud is None or facts.cloud.registered_limits is None:
        return
    known = {alias.resource_class for alias in facts.aliases.values()}
    for service in facts.nova:
        known |= {alias.resource_class for alias in pci_alias.readable(service.configuration)}
    for resource in sorted(facts.cloud.registered_limits):
        name = resource.removeprefix("class:")
        if resource.startswith(_OURS) and names.resource_class(name, None, None) not in known:
            yield Finding(
                "quota.limit_unused",
                Severity.WARNING,
                resource,
                f"a registered limit of {facts.cloud.registered_limits[resource]}, and no alias "
                "has this resource class",
                _KEYSTONE,
                "It is misspelt, or left over: nothing is limited by it.",
                "Name the class that the alias has, or delete the limit.",
            )
