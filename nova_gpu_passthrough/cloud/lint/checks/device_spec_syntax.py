# SPDX-License-Identifier: Apache-2.0
"""Values of device_spec that nova-compute refuses, or that its release does not support."""

from collections.abc import Iterator

from nova_gpu_passthrough.cloud.lint import configured_device_spec
from nova_gpu_passthrough.cloud.lint.check import lint_check
from nova_gpu_passthrough.cloud.lint.configuration.services import ConfiguredService, ServiceRole
from nova_gpu_passthrough.cloud.lint.configured_device_spec import DeviceSpecEntry
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.fleet.releases import first_with
from nova_gpu_passthrough.inventory.findings import Finding, Severity


@lint_check()
def check(facts: Facts) -> Iterator[Finding]:
    """Check every value."""
    for service in facts.services_with(ServiceRole.COMPUTE):
        for assignment in service.configuration.all(*configured_device_spec.OPTIONS):
            try:
                configured_device_spec.parse(assignment)
            except ValueError as error:
                yield Finding(
                    "device_spec.invalid",
                    Severity.FAILURE,
                    service.name,
                    str(error),
                    assignment.where,
                    "nova-compute does not start.",
                    facts.fixes.generate(service, assignment),
                )
        in_placement = service.configuration.flag("pci", "report_in_placement", False)
        for entry in configured_device_spec.valid_entries(service.configuration):
            yield from _devname(facts, service, entry, in_placement)
            yield from _one_time_use(facts, service, entry, in_placement)


def _devname(
    facts: Facts, service: ConfiguredService, entry: DeviceSpecEntry, in_placement: bool
) -> Iterator[Finding]:
    if entry.has_devname and in_placement:
        yield Finding(
            "device_spec.devname",
            Severity.FAILURE,
            service.name,
            f"devname {entry.keys['devname']}, and report_in_placement is on",
            entry.assignment.where,
            "nova-compute refuses devname with PCI in Placement "
            "(ensure_no_dev_spec_with_devname in nova/compute/pci_placement_translator.py).",
            facts.fixes.edit_file(
                service,
                entry.assignment.path,
                f"in device_spec, replace devname {entry.keys['devname']} by the device's address",
            ),
        )


def _one_time_use(
    facts: Facts, service: ConfiguredService, entry: DeviceSpecEntry, in_placement: bool
) -> Iterator[Finding]:
    release = facts.resolved.settings.release
    if not entry.flag("one_time_use", False):
        return
    if not release.one_time_use:
        yield Finding(
            "device_spec.one_time_use_unknown",
            Severity.FAILURE,
            service.name,
            f"one_time_use, which Nova {release.nova} ({release.series}) does not support",
            entry.assignment.where,
            "Nova treats it as a property of the device's pool: the next server gets the device "
            "without cleaning.",
            facts.fixes.edit_file(
                service,
                entry.assignment.path,
                f"remove one_time_use, or upgrade to {first_with('one_time_use')} and set "
                "settings.release in the fleet file",
            ),
        )
    elif not in_placement:
        yield Finding(
            "device_spec.one_time_use_unreported",
            Severity.FAILURE,
            service.name,
            "one_time_use, and report_in_placement is off",
            entry.assignment.where,
            "nova-compute does not start.",
            facts.fixes.set_option(service, "pci", "report_in_placement", "true"),
        )
