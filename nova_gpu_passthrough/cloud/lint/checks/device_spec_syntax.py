# SPDX-License-Identifier: Apache-2.0
"""Values of device_spec that nova-compute refuses, or that its release does not know."""

from collections.abc import Iterator

from nova_gpu_passthrough.cloud.lint import device_spec
from nova_gpu_passthrough.cloud.lint import facts as fix
from nova_gpu_passthrough.cloud.lint.configuration.services import Role, Service
from nova_gpu_passthrough.cloud.lint.device_spec import Entry
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.inventory.findings import Finding, Severity


def check(facts: Facts) -> Iterator[Finding]:
    """Every value by itself."""
    for service in facts.role(Role.COMPUTE):
        for assignment in service.configuration.all(*device_spec.OPTIONS):
            try:
                device_spec.parse(assignment)
            except ValueError as error:
                yield Finding(
                    "device_spec.invalid",
                    Severity.FAILURE,
                    service.name,
                    str(error),
                    assignment.where,
                    "nova-compute does not start.",
                    fix.generate(service.name),
                )
        reports = service.configuration.flag("pci", "report_in_placement", False)
        for entry in device_spec.readable(service.configuration):
            yield from _by_name(service, entry, reports)
            yield from _one_time_use(facts, service, entry, reports)


def _by_name(service: Service, entry: Entry, reports: bool) -> Iterator[Finding]:
    if entry.by_name and reports:
        yield Finding(
            "device_spec.devname",
            Severity.FAILURE,
            service.name,
            f"devname {entry.keys['devname']}, and report_in_placement is on",
            entry.assignment.where,
            "nova-compute refuses devname with PCI in Placement "
            "(ensure_no_dev_spec_with_devname in nova/compute/pci_placement_translator.py).",
            "Give the device's address instead.",
        )


def _one_time_use(facts: Facts, service: Service, entry: Entry, reports: bool) -> Iterator[Finding]:
    release = facts.resolved.settings.release
    if not entry.flag("one_time_use", False):
        return
    if not release.one_time_use:
        yield Finding(
            "device_spec.one_time_use_unknown",
            Severity.FAILURE,
            service.name,
            f"one_time_use, which Nova {release.nova} ({release.series}) does not know",
            entry.assignment.where,
            "Nova takes it for a property of the device's pool: devices are given to the next "
            "server without being kept for cleaning.",
            "Take it out, or upgrade to Nova 32 (2025.2).",
        )
    elif not reports:
        yield Finding(
            "device_spec.one_time_use_unreported",
            Severity.FAILURE,
            service.name,
            "one_time_use, and report_in_placement is off",
            entry.assignment.where,
            "nova-compute does not start.",
            "Set [pci] report_in_placement = true.",
        )
