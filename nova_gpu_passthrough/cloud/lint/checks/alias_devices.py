# SPDX-License-Identifier: Apache-2.0
"""Aliases that select devices by ids or resource class, but not by device type or traits."""

import json
from collections.abc import Iterator, Mapping

from nova_gpu_passthrough.cloud.lint import configured_alias
from nova_gpu_passthrough.cloud.lint.check import lint_check
from nova_gpu_passthrough.cloud.lint.configuration.services import ConfiguredService
from nova_gpu_passthrough.cloud.lint.configured_alias import ConfiguredAlias
from nova_gpu_passthrough.cloud.lint.facts import DeviceAttributes, Facts
from nova_gpu_passthrough.inventory.findings import Finding, Severity
from nova_gpu_passthrough.inventory.pci import DeviceType
from nova_gpu_passthrough.nova_rules import resource_names


@lint_check()
def check(facts: Facts) -> Iterator[Finding]:
    """Check every alias of every service that selects devices of the inventories."""
    for service in facts.nova_services:
        for alias in configured_alias.valid_aliases(service.configuration):
            selected = [
                attributes
                for attributes in facts.devices_by_attributes
                if alias.selects(
                    attributes.vendor_id, attributes.product_id, attributes.resource_class
                )
            ]
            if selected:
                yield from _type(facts, service, alias, selected)
                yield from _traits(facts, service, alias, selected)


def _type(
    facts: Facts,
    service: ConfiguredService,
    alias: ConfiguredAlias,
    selected: list[DeviceAttributes],
) -> Iterator[Finding]:
    refused = [one for one in selected if not alias.accepts_type(one.device_type)]
    if not refused:
        return
    types = sorted({attributes.device_type for attributes in refused})
    devices = [d for attributes in refused for d in facts.devices_by_attributes[attributes]]
    total = sum(len(facts.devices_by_attributes[attributes]) for attributes in selected)
    more = f" and {len(devices) - 3} others" if len(devices) > 3 else ""
    configured = f"device_type {alias.device_type}" if alias.device_type else "no device_type"
    why = "Nova's PCI pools refuse the devices although Placement offers them: no valid host."
    if DeviceType.PF in types:
        why += " A GPU becomes type-PF as soon as SR-IOV is enabled in firmware (bug 1892361)."
    yield Finding(
        "alias.device_type",
        Severity.FAILURE,
        service.name,
        f"alias {alias.name} has {configured}, but {len(devices)} of {total} devices that it "
        f"selects are {', '.join(types)}: {', '.join(devices[:3])}{more}",
        alias.assignment.where,
        why,
        _fix(facts, service, alias, {"device_type": str(types[0])}),
    )


def _traits(
    facts: Facts,
    service: ConfiguredService,
    alias: ConfiguredAlias,
    selected: list[DeviceAttributes],
) -> Iterator[Finding]:
    required = resource_names.normalize_traits(alias.keys.get("traits"))
    if any(required <= attributes.traits for attributes in selected):
        return
    yield Finding(
        "alias.traits",
        Severity.FAILURE,
        service.name,
        f"alias {alias.name} requests traits {', '.join(sorted(required))}, which no device that "
        "it selects has together",
        alias.assignment.where,
        "Placement finds no device.",
        _fix(facts, service, alias, {"traits": None}),
    )


def _fix(
    facts: Facts,
    service: ConfiguredService,
    alias: ConfiguredAlias,
    changes: Mapping[str, str | None],
) -> str:
    """Return how to change keys of an alias; the value None removes a key."""
    if alias.name in facts.aliases:
        return facts.fixes.generate(service, alias.assignment)
    keys = {key: value for key, value in {**alias.keys, **changes}.items() if value is not None}
    text = json.dumps({"name": alias.name, **keys})
    return facts.fixes.edit_file(service, alias.assignment.path, f"set alias = {text}")
