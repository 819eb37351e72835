# SPDX-License-Identifier: Apache-2.0
"""Whether device_spec and the devices of the inventory go together."""

from collections.abc import Iterator, Sequence

from nova_gpu_passthrough.cloud.lint import device_spec
from nova_gpu_passthrough.cloud.lint import facts as fix
from nova_gpu_passthrough.cloud.lint.configuration.services import Service
from nova_gpu_passthrough.cloud.lint.device_spec import Entry
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.fleet.offers import Offer
from nova_gpu_passthrough.inventory.findings import Finding, Severity
from nova_gpu_passthrough.inventory.pci import Role

#: What Nova never offers or what is no loss to it.
_HARMLESS = (Role.BRIDGE,)


def check(facts: Facts) -> Iterator[Finding]:
    """The entries of every compute host whose inventory is known."""
    for service, offer in facts.computes:
        entries = device_spec.readable(service.configuration)
        if device_spec.all_readable(service.configuration):
            yield from _missing(service, offer, entries)
        for entry in entries:
            yield from _matched(service, offer, entry)


def _missing(service: Service, offer: Offer, entries: Sequence[Entry]) -> Iterator[Finding]:
    for offered in offer.devices:
        if not any(entry.matches(offered.device) for entry in entries):
            yield Finding(
                "device_spec.missing",
                Severity.FAILURE,
                service.name,
                f"{offered.address} ({offered.model}, {offered.kind}) of the inventory is matched "
                "by no entry",
                f"{service.configuration.place} [pci] device_spec",
                "No server gets the device.",
                f"{fix.generate(service.name)} To keep it for the host, name it in exclude of the "
                "fleet file's settings.",
            )


def _matched(service: Service, offer: Offer, entry: Entry) -> Iterator[Finding]:
    if entry.by_name:
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
            "The device has been taken out, or its address or ids are others than when the entry "
            "was made.",
            f"Take the entry out. {fix.AUDIT}",
        )
        return
    offered = {one.address for one in offer.devices}
    others = [d for d in matched if d.address not in offered and d.role not in _HARMLESS]
    parents = {d.physical_function for d in matched if d.physical_function}
    both = [d.address for d in matched if d.address in parents]
    if both:
        yield Finding(
            "device_spec.pf_and_vfs",
            Severity.FAILURE,
            service.name,
            f"it matches {', '.join(both)} and its VFs",
            where,
            "nova-compute cannot report a PF and its VFs at once, and reports nothing "
            "(PlacementPciDependentDeviceException).",
            "Match either the PF or the VFs, by product_id or address.",
        )
    elif others:
        names = ", ".join(f"{d.address} ({d.role})" for d in others[:4])
        more = f" and {len(others) - 4} others" if len(others) > 4 else ""
        yield Finding(
            "device_spec.too_wide",
            Severity.WARNING,
            service.name,
            f"it also matches what the fleet file keeps for the host: {names}{more}",
            where,
            "A server that asks by ids can take the device away from the host.",
            "Match by address, as nova-gpu config generate does.",
        )
