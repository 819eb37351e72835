# SPDX-License-Identifier: Apache-2.0
"""Aliases that differ between services, or from what the fleet file makes."""

import json
from collections.abc import Iterator, Mapping

from nova_gpu_passthrough.cloud.lint import facts as fix
from nova_gpu_passthrough.cloud.lint import pci_alias
from nova_gpu_passthrough.cloud.lint.configuration.services import CONTROL, Role, Service
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.cloud.lint.pci_alias import ConfiguredAlias
from nova_gpu_passthrough.fleet.aliases import Alias
from nova_gpu_passthrough.inventory.findings import Finding, Severity

_WHY = (
    "nova-api reads aliases when a server is created, nova-conductor and nova-compute when one is "
    "moved or resized: the services then mean different devices by one name."
)


def check(facts: Facts) -> Iterator[Finding]:
    """The fleet's aliases on every service, then all others among the services."""
    services = _readers(facts)
    found = {service.name: _by_name(service) for service in services}
    for service in services:
        for alias in facts.aliases.values():
            yield from _fleets(service, found[service.name].get(alias.name), alias)
    others = {name for aliases in found.values() for name in aliases} - set(facts.aliases)
    for name in sorted(others):
        yield from _among(services, {who: aliases.get(name) for who, aliases in found.items()})


def _readers(facts: Facts) -> list[Service]:
    """The control plane and the fleet's compute hosts."""
    services = list(facts.role(*CONTROL))
    known = {service.name for service in services}
    return services + [s for s, _ in facts.computes if s.name not in known]


def _by_name(service: Service) -> Mapping[str, ConfiguredAlias]:
    return {alias.name: alias for alias in pci_alias.readable(service.configuration)}


def _fleets(service: Service, found: ConfiguredAlias | None, alias: Alias) -> Iterator[Finding]:
    if found is None:
        if not pci_alias.all_readable(service.configuration):
            # It may be one of those that Nova refuses, of which a check of its own tells.
            return
        yield Finding(
            "alias.missing",
            Severity.FAILURE,
            service.name,
            f"alias {alias.name} of the fleet file is not there",
            f"{service.configuration.place} [pci] alias",
            _WHY,
            fix.generate(service.name),
        )
        return
    wanted = pci_alias.meaning(json.loads(alias.to_json()))
    different = [
        f"{key} is {found.meaning.get(key, 'not set')}, expected {wanted.get(key, 'none')}"
        for key in sorted({*wanted, *found.meaning})
        # The device's type has a check of its own, which knows the devices.
        if key != "device_type" and wanted.get(key) != found.meaning.get(key)
    ]
    if different:
        yield Finding(
            "alias.differs",
            Severity.FAILURE,
            service.name,
            f"alias {alias.name}: {'; '.join(different)}",
            found.assignment.where,
            _WHY,
            fix.generate(service.name),
        )


def _among(
    services: list[Service], found: Mapping[str, ConfiguredAlias | None]
) -> Iterator[Finding]:
    """An alias that the fleet file does not make must be the same wherever it is read."""
    api = next((s for s in services if Role.API in s.roles and found[s.name]), None)
    first = api or next(s for s in services if found[s.name])
    model = found[first.name]
    assert model is not None
    for service in services:
        alias = found[service.name]
        if alias is not None and alias.meaning == model.meaning:
            continue
        yield Finding(
            "alias.disagrees",
            Severity.FAILURE,
            service.name,
            f"alias {model.name} is {'another than' if alias else 'not there, but'} on "
            f"{first.name} ({model.assignment.where})",
            alias.assignment.where if alias else f"{service.configuration.place} [pci] alias",
            _WHY,
            "Make the aliases the same on all of Nova's services.",
        )
