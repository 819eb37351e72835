# SPDX-License-Identifier: Apache-2.0
"""Aliases that do not get the devices that they mean: other type, other traits."""

from collections.abc import Iterator

from nova_gpu_passthrough.cloud.lint import facts as fix
from nova_gpu_passthrough.cloud.lint import pci_alias
from nova_gpu_passthrough.cloud.lint.configuration.services import Service
from nova_gpu_passthrough.cloud.lint.facts import Facts, Make
from nova_gpu_passthrough.cloud.lint.pci_alias import ConfiguredAlias
from nova_gpu_passthrough.inventory.findings import Finding, Severity
from nova_gpu_passthrough.inventory.pci import DeviceType
from nova_gpu_passthrough.nova_rules import names


def check(facts: Facts) -> Iterator[Finding]:
    """Every alias of every service that means devices of the inventories."""
    for service in facts.nova:
        for alias in pci_alias.readable(service.configuration):
            meant = [
                make
                for make in facts.makes
                if alias.asks_for(make.vendor_id, make.product_id, make.resource_class)
            ]
            if meant:
                yield from _type(facts, service, alias, meant)
                yield from _traits(service, alias, meant)


def _type(
    facts: Facts, service: Service, alias: ConfiguredAlias, meant: list[Make]
) -> Iterator[Finding]:
    refused = [make for make in meant if not alias.gets(make.device_type)]
    if not refused:
        return
    types = sorted({make.device_type for make in refused})
    devices = [device for make in refused for device in facts.makes[make]]
    number = sum(len(facts.makes[make]) for make in meant)
    more = f" and {len(devices) - 3} others" if len(devices) > 3 else ""
    said = f"device_type {alias.device_type}" if alias.device_type else "no device_type"
    why = "Nova's PCI pools refuse the devices although Placement offers them: no valid host."
    if DeviceType.PF in types:
        why += " A GPU becomes type-PF as soon as SR-IOV is switched on in firmware (bug 1892361)."
    yield Finding(
        "alias.device_type",
        Severity.FAILURE,
        service.name,
        f"alias {alias.name} has {said}, but {len(devices)} of {number} devices that it means "
        f"are {', '.join(types)}: {', '.join(devices[:3])}{more}",
        alias.assignment.where,
        why,
        f'Set "device_type": "{types[0]}". {fix.AUDIT}',
    )


def _traits(service: Service, alias: ConfiguredAlias, meant: list[Make]) -> Iterator[Finding]:
    wanted = names.traits(alias.keys.get("traits"))
    if any(wanted <= make.traits for make in meant):
        return
    yield Finding(
        "alias.traits",
        Severity.FAILURE,
        service.name,
        f"alias {alias.name} asks for traits {', '.join(sorted(wanted))}, which no device that it "
        "means has together",
        alias.assignment.where,
        "Placement finds no device.",
        "Take the trait out of the alias, or add it to [pci] device_spec.",
    )
