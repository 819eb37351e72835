# SPDX-License-Identifier: Apache-2.0
"""Aliases that differ between services or from the fleet file."""

import json
from collections.abc import Iterator, Mapping

from nova_gpu_passthrough.cloud.lint import configured_alias
from nova_gpu_passthrough.cloud.lint.check import lint_check
from nova_gpu_passthrough.cloud.lint.configuration.services import (
    CONTROL_PLANE,
    ConfiguredService,
    ServiceRole,
)
from nova_gpu_passthrough.cloud.lint.configured_alias import ConfiguredAlias
from nova_gpu_passthrough.cloud.lint.facts import Facts, generate_fix
from nova_gpu_passthrough.fleet.aliases import Alias
from nova_gpu_passthrough.inventory.findings import Finding, Severity

_WHY = (
    "nova-api reads aliases when a server is created, nova-conductor and nova-compute when a "
    "server is moved or resized: with different aliases they select different devices."
)


@lint_check(passthrough=True)
def check(facts: Facts) -> Iterator[Finding]:
    """Check the fleet's aliases on every service, then that other aliases are the same on all."""
    services = _readers(facts)
    configured = {service.name: _by_name(service) for service in services}
    for service in services:
        for alias in facts.aliases.values():
            yield from _fleet_alias(service, configured[service.name].get(alias.name), alias)
    others = {name for aliases in configured.values() for name in aliases} - set(facts.aliases)
    for name in sorted(others):
        yield from _other_alias(
            services, {service: aliases.get(name) for service, aliases in configured.items()}
        )


def _readers(facts: Facts) -> list[ConfiguredService]:
    """Return the services of the control plane and of the fleet's compute hosts."""
    services = list(facts.services_with(*CONTROL_PLANE))
    names = {service.name for service in services}
    return services + [s for s, _ in facts.compute_services if s.name not in names]


def _by_name(service: ConfiguredService) -> Mapping[str, ConfiguredAlias]:
    return {alias.name: alias for alias in configured_alias.valid_aliases(service.configuration)}


def _fleet_alias(
    service: ConfiguredService, configured: ConfiguredAlias | None, alias: Alias
) -> Iterator[Finding]:
    if configured is None:
        if not configured_alias.all_valid(service.configuration):
            # It may be one of the invalid aliases, which alias_syntax reports.
            return
        yield Finding(
            "alias.missing",
            Severity.FAILURE,
            service.name,
            f"alias {alias.name} of the fleet file is missing",
            f"{service.configuration.last_file} [pci] alias",
            _WHY,
            generate_fix(service.name),
        )
        return
    expected = configured_alias.normalize(json.loads(alias.to_json()))
    actual = configured.normal_form
    different = [
        f"{key} is {actual.get(key, 'not set')}, expected {expected.get(key, 'none')}"
        for key in sorted({*expected, *actual})
        # alias_devices checks the device type against the devices.
        if key != "device_type" and expected.get(key) != actual.get(key)
    ]
    if different:
        yield Finding(
            "alias.differs",
            Severity.FAILURE,
            service.name,
            f"alias {alias.name}: {'; '.join(different)}",
            configured.assignment.where,
            _WHY,
            generate_fix(service.name),
        )


def _other_alias(
    services: list[ConfiguredService], aliases: Mapping[str, ConfiguredAlias | None]
) -> Iterator[Finding]:
    """Check that an alias outside the fleet file is the same on all services."""
    api = next((s for s in services if ServiceRole.API in s.roles and aliases[s.name]), None)
    first = api or next(s for s in services if aliases[s.name])
    reference = aliases[first.name]
    assert reference is not None
    for service in services:
        alias = aliases[service.name]
        if alias is not None and alias.normal_form == reference.normal_form:
            continue
        yield Finding(
            "alias.disagrees",
            Severity.FAILURE,
            service.name,
            f"alias {reference.name} is {'different from' if alias else 'missing, but defined'} on "
            f"{first.name} ({reference.assignment.where})",
            alias.assignment.where if alias else f"{service.configuration.last_file} [pci] alias",
            _WHY,
            "Make the alias the same on all of Nova's services.",
        )
