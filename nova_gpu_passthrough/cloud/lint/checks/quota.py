# SPDX-License-Identifier: Apache-2.0
"""Quotas: whether the quota driver is the fleet file's, and whether the limits have an effect.

GPUs requested by aliases count only in newer releases (`Release.counts_aliases`), if
pci_in_placement is on (``request_spec_for_limits`` in nova/scheduler/utils.py, bug 2140631).
"""

from collections.abc import Iterator

from nova_gpu_passthrough.cloud.lint import configured_alias
from nova_gpu_passthrough.cloud.lint.check import lint_check
from nova_gpu_passthrough.cloud.lint.configuration.services import ConfiguredService, ServiceRole
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.fleet import device_names
from nova_gpu_passthrough.fleet.releases import first_with
from nova_gpu_passthrough.inventory.findings import Finding, Severity
from nova_gpu_passthrough.inventory.shell_fix import command, comment, script
from nova_gpu_passthrough.nova_rules import resource_names

SECTION = "quota"
UNIFIED_DRIVER = "nova.quota.UnifiedLimitsDriver"
_DRIVERS = {"unified-limits": UNIFIED_DRIVER, "nova": "nova.quota.DbQuotaDriver"}
_DEFAULT_DRIVER = "nova.quota.DbQuotaDriver"
KEYSTONE = "Keystone, registered limits"
_ENFORCERS = (ServiceRole.API, ServiceRole.CONDUCTOR)
_DEVICE_CLASSES = tuple(f"class:{prefix}" for prefix in device_names.DEVICE_CLASS_PREFIXES)


@lint_check()
def check(facts: Facts) -> Iterator[Finding]:
    """Check the driver of nova-api and nova-conductor, which enforce quotas, then the limits."""
    for service in facts.services_with(*_ENFORCERS):
        yield from _driver(facts, service)
    yield from _active_driver(facts)
    if facts.desired.quota_driver == "unified-limits":
        yield from _uncounted(facts)
    yield from _unused(facts)


def _driver(facts: Facts, service: ConfiguredService) -> Iterator[Finding]:
    configuration = service.configuration
    configured = configuration.text(
        SECTION, "driver", _DEFAULT_DRIVER if configuration.complete else None
    )
    expected = _DRIVERS[facts.desired.quota_driver]
    if configured is not None and configured != expected and facts.desired.limits:
        yield Finding(
            "quota.driver",
            Severity.FAILURE,
            service.name,
            f"driver is {configured}, the fleet file's quotas are for {expected}",
            configuration.where(SECTION, "driver"),
            "The limits that nova-gpu apply sets are not enforced.",
            script(
                facts.fixes.set_option(service, SECTION, "driver", expected, roles=_ENFORCERS),
                comment(_other_driver(facts)),
            ),
        )


def _active_driver(facts: Facts) -> Iterator[Finding]:
    """Check whether the default quotas that nova-api shows are the driver's."""
    if facts.cloud is not None and facts.cloud.driver_note:
        yield Finding(
            "quota.driver_at_work",
            Severity.FAILURE,
            "quotas",
            facts.cloud.driver_note,
            "Nova, quota class default",
            "The limits that nova-gpu apply sets are not enforced.",
            f"Set [quota] driver = {_DRIVERS[facts.desired.quota_driver]} on nova-api and "
            f"nova-conductor and restart them. {_other_driver(facts)}",
        )


def _other_driver(facts: Facts) -> str:
    """Return how to keep the other quota driver."""
    other = next(name for name in _DRIVERS if name != facts.desired.quota_driver)
    return f"Or in {facts.fixes.fleet}, set quotas.driver to {other}, if that is to be used."


def _gpu_limits(facts: Facts) -> list[str]:
    gpu_resources = {f"class:{alias.resource_class}" for alias in facts.aliases.values()}
    return sorted({limit.resource for limit in facts.desired.limits} & gpu_resources)


def _uncounted(facts: Facts) -> Iterator[Finding]:
    release = facts.resolved.settings.release
    limits = _gpu_limits(facts)
    if limits and not release.counts_aliases:
        yield Finding(
            "quota.aliases_ignored",
            Severity.WARNING,
            "quotas",
            f"limits on {', '.join(limits)}, which {release} does not count",
            f"{facts.resolved.file.path}",
            f"Before {first_with('counts_aliases')}, quotas ignore devices requested by aliases "
            "(bug 2140631): a project can use all GPUs.",
            facts.fixes.edit_fleet(
                "name the flavors of each project (projects) and limit its servers or vcpus"
            ),
        )


def _unused(facts: Facts) -> Iterator[Finding]:
    if facts.cloud is None or facts.cloud.registered_limits is None:
        return
    known_classes = {alias.resource_class for alias in facts.aliases.values()}
    for service in facts.nova_services:
        known_classes |= {
            alias.resource_class for alias in configured_alias.valid_aliases(service.configuration)
        }
    for resource in sorted(facts.cloud.registered_limits):
        name = resource.removeprefix("class:")
        if (
            resource.startswith(_DEVICE_CLASSES)
            and resource_names.normalize_resource_class(name, None, None) not in known_classes
        ):
            yield Finding(
                "quota.limit_unused",
                Severity.WARNING,
                resource,
                f"a registered limit of {facts.cloud.registered_limits[resource]}, and no alias "
                "has this resource class",
                KEYSTONE,
                "It is misspelt or obsolete, and limits nothing.",
                script(
                    comment("If no project limit uses it; otherwise delete those first:"),
                    "openstack registered limit delete $("
                    + command(
                        *("openstack", "registered", "limit", "list", "--resource-name", resource),
                        *("-f", "value", "-c", "ID"),
                    )
                    + ")",
                ),
            )
