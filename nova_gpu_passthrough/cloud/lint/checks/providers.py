# SPDX-License-Identifier: Apache-2.0
"""The devices' resource providers in Placement, as the fleet file makes them."""

from collections.abc import Iterator, Mapping

import os_traits

from nova_gpu_passthrough.cloud.lint import facts as fix
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.cloud.view.model import Device, DeviceState, Host
from nova_gpu_passthrough.fleet.offers import Offer, Offered
from nova_gpu_passthrough.inventory.findings import Finding, Severity
from nova_gpu_passthrough.nova_rules import names

_CUSTOM = os_traits.CUSTOM_NAMESPACE
_PLACE = "Placement, provider {}"
_RESTART = "Restart nova-compute, which reports its devices anew; its log tells if it cannot."


def check(facts: Facts) -> Iterator[Finding]:
    """Every device of every host of the fleet that Placement knows."""
    if facts.cloud is None:
        return
    for host in facts.cloud.view.hosts:
        offer = facts.offers.get(host.name)
        if offer is not None and host.provider is not None:
            wanted = _by_provider(offer)
            devices = {device.address: device for device in host.devices}
            for address, functions in wanted.items():
                yield from _device(facts, host, functions, devices.get(address))
            yield from _left_over(facts, host, wanted)


def _by_provider(offer: Offer) -> Mapping[str, list[Offered]]:
    """What servers can get, by the address of its provider: a PF stands for its VFs."""
    found: dict[str, list[Offered]] = {}
    for offered in offer.devices:
        address = offered.device.physical_function or offered.address
        found.setdefault(address, []).append(offered)
    return found


def _device(
    facts: Facts, host: Host, functions: list[Offered], device: Device | None
) -> Iterator[Finding]:
    first = functions[0]
    entry = facts.entries[host.name][first.address]
    wanted_class = facts.alias_of(first).resource_class
    address = first.device.physical_function or first.address
    subject, where = f"{host.name} {address}", _PLACE.format(f"{host.name}_{address.upper()}")
    if device is None or device.state is DeviceState.MISSING:
        yield Finding(
            "device.missing",
            Severity.FAILURE,
            subject,
            f"{first.model} ({first.kind}) has no resource provider",
            where,
            "No server gets it.",
            f"Match it in [pci] device_spec, with report_in_placement. {_RESTART} {fix.AUDIT}",
        )
        return
    if device.resource_class != wanted_class:
        yield Finding(
            "device.resource_class",
            Severity.FAILURE,
            subject,
            f"it is {device.resource_class}, the fleet file makes {wanted_class}",
            where,
            "No alias, or another one, asks for it, and quotas count it as something else.",
            f"{fix.generate('nova-compute')} While a server has the device, Nova keeps the old "
            "class.",
        )
    yield from _traits(subject, where, device, names.traits(entry.get("traits")))
    if entry.get("one_time_use") and os_traits.HW_PCI_ONE_TIME_USE not in device.traits:
        yield Finding(
            "device.one_time_use",
            Severity.FAILURE,
            subject,
            "it is not one-time-use, the fleet file says so",
            where,
            "The next server gets it with whatever the last one left in its memory.",
            fix.generate("nova-compute"),
        )
    yield from _inventory(subject, where, device, len(functions))


def _traits(subject: str, where: str, device: Device, wanted: frozenset[str]) -> Iterator[Finding]:
    found = frozenset(trait for trait in device.traits if trait.startswith(_CUSTOM))
    words = []
    if wanted - found:
        words.append(f"lacks {', '.join(sorted(wanted - found))}")
    if found - wanted:
        words.append(f"has {', '.join(sorted(found - wanted))} too many")
    if words:
        yield Finding(
            "device.traits",
            Severity.WARNING,
            subject,
            f"traits: {', '.join(words)}",
            where,
            "Model, NUMA node and link group are told wrongly, and flavors that ask for such a "
            "trait do not find it.",
            f"nova-compute sets them from [pci] device_spec. {_RESTART}",
        )


def _inventory(subject: str, where: str, device: Device, number: int) -> Iterator[Finding]:
    resource = device.resource
    wrong = []
    if resource.total != number:
        wrong.append(f"total {resource.total}, expected {number}")
    if resource.allocation_ratio != 1:
        wrong.append(f"allocation_ratio {resource.allocation_ratio:g}, expected 1")
    if wrong:
        yield Finding(
            "device.inventory",
            Severity.FAILURE,
            subject,
            "; ".join(wrong),
            where,
            "Placement gives one device to several servers, or to none.",
            _RESTART,
        )


def _left_over(facts: Facts, host: Host, wanted: Mapping[str, list[Offered]]) -> Iterator[Finding]:
    classes = {alias.resource_class for alias in facts.aliases.values()}
    for device in host.devices:
        ours = device.model is not None or device.resource_class in classes
        if ours and device.address not in wanted and device.state is not DeviceState.MISSING:
            yield Finding(
                "device.left_over",
                Severity.FAILURE,
                f"{host.name} {device.address}",
                f"{device.resource_class}, which the fleet file does not give to servers",
                _PLACE.format(f"{host.name}_{device.address.upper()}"),
                "Placement offers what the host does not have, or has for itself: servers fail.",
                f"Take it out of [pci] device_spec and restart nova-compute. {fix.AUDIT}",
            )
