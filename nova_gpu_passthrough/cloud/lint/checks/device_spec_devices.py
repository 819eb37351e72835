# SPDX-License-Identifier: Apache-2.0
"""Whether the device_spec entries match the devices of the inventory."""

from collections.abc import Iterator, Sequence

from nova_gpu_passthrough.cloud.lint import configured_device_spec
from nova_gpu_passthrough.cloud.lint.check import lint_check
from nova_gpu_passthrough.cloud.lint.configuration.services import ConfiguredService
from nova_gpu_passthrough.cloud.lint.configured_device_spec import DeviceSpecEntry
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.fleet.offers import HostOffer
from nova_gpu_passthrough.inventory.findings import Finding, Severity
from nova_gpu_passthrough.inventory.pci import Role
from nova_gpu_passthrough.inventory.shell_fix import comment, script

#: Devices that Nova does not offer, or that a host does not lose.
_HARMLESS = (Role.BRIDGE,)


@lint_check()
def check(facts: Facts) -> Iterator[Finding]:
    """Check the entries of every compute host whose inventory is known."""
    for service, offer in facts.compute_services:
        entries = configured_device_spec.valid_entries(service.configuration)
        if configured_device_spec.all_valid(service.configuration):
            yield from _missing(facts, service, offer, entries)
        for entry in entries:
            yield from _matched(facts, service, offer, entry)


def _missing(
    facts: Facts,
    service: ConfiguredService,
    offer: HostOffer,
    entries: Sequence[DeviceSpecEntry],
) -> Iterator[Finding]:
    for offered in offer.devices:
        if not any(entry.matches(offered.device) for entry in entries):
            yield Finding(
                "device_spec.missing",
                Severity.FAILURE,
                service.name,
                f"{offered.address} ({offered.model}, {offered.kind}) of the inventory is not "
                "matched by any entry",
                f"{service.configuration.last_file} [pci] device_spec",
                "No server gets the device.",
                script(
                    facts.fixes.generate(service),
                    comment(
                        f"To keep it for the host: in {facts.fixes.fleet}, add "
                        f"{offer.host}/{offered.address} to settings.exclude."
                    ),
                ),
            )


def _matched(
    facts: Facts, service: ConfiguredService, offer: HostOffer, entry: DeviceSpecEntry
) -> Iterator[Finding]:
    if entry.has_devname:
        return
    matched = [device for device in offer.inventory.devices if entry.matches(device)]
    where = entry.assignment.where
    if not matched:
        yield Finding(
            "device_spec.no_device",
            Severity.WARNING,
            service.name,
            f"no device of the inventory of {offer.host} is "
            f"{entry.keys.get('address', 'any address')} "
            f"{entry.keys.get('vendor_id', '*')}:{entry.keys.get('product_id', '*')}",
            where,
            "The device was removed, or its address or ids changed since the entry was written.",
            script(
                facts.fixes.audit(offer.host),
                facts.fixes.generate(service, entry.assignment),
            ),
        )
        return
    offered = {device.address for device in offer.devices}
    others = [d for d in matched if d.address not in offered and d.role not in _HARMLESS]
    parents = {d.physical_function for d in matched if d.physical_function}
    parents_matched = [d.address for d in matched if d.address in parents]
    if parents_matched:
        yield Finding(
            "device_spec.pf_and_vfs",
            Severity.FAILURE,
            service.name,
            f"it matches {', '.join(parents_matched)} and its VFs",
            where,
            "nova-compute cannot report a PF and its VFs at once, and reports nothing "
            "(PlacementPciDependentDeviceException).",
            facts.fixes.generate(service, entry.assignment),
        )
    elif others:
        names = ", ".join(f"{d.address} ({d.role})" for d in others[:4])
        more = f" and {len(others) - 4} others" if len(others) > 4 else ""
        yield Finding(
            "device_spec.too_wide",
            Severity.WARNING,
            service.name,
            f"it also matches devices that the fleet file keeps for the host: {names}{more}",
            where,
            "A server that requests devices by ids can take the device from the host.",
            facts.fixes.generate(service, entry.assignment),
        )
