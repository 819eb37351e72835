# SPDX-License-Identifier: Apache-2.0
"""Aliases that differ between services or from the fleet file."""

import difflib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from nova_gpu_passthrough.cloud.lint import configured_alias
from nova_gpu_passthrough.cloud.lint.check import lint_check
from nova_gpu_passthrough.cloud.lint.configuration.services import (
    CONTROL_PLANE,
    ConfiguredService,
    ServiceRole,
)
from nova_gpu_passthrough.cloud.lint.configured_alias import ConfiguredAlias
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.fleet.aliases import Alias
from nova_gpu_passthrough.inventory.findings import Finding, Severity

_WHY = (
    "nova-api reads aliases when a server is created, nova-conductor and nova-compute when a "
    "server is moved or resized: with different aliases they select different devices."
)
_OPTION = configured_alias.OPTIONS[0]
#: How alike two names must be for one to be a misspelling of the other, as `difflib` counts.
_ALIKE = 0.8


@lint_check(passthrough=True)
def check(facts: Facts) -> Iterator[Finding]:
    """Check the fleet's aliases on every service, then that other aliases are the same on all."""
    services = _readers(facts)
    configured = {service.name: _by_name(service) for service in services}
    misspelt: set[tuple[str, str]] = set()
    for service in services:
        for alias in facts.aliases.values():
            present = configured[service.name]
            if alias.name in present:
                yield from _different(facts, service, present[alias.name], alias)
                continue
            similar = _similar(facts, alias, present)
            if similar is not None:
                misspelt.add((service.name, similar.name))
            yield from _missing(facts, service, alias, similar)
    others = {name for aliases in configured.values() for name in aliases} - set(facts.aliases)
    for name in sorted(others):
        aliases = {
            service: aliases.get(name)
            for service, aliases in configured.items()
            if (service, name) not in misspelt
        }
        yield from _other_alias(facts, [s for s in services if s.name in aliases], aliases)


def _readers(facts: Facts) -> list[ConfiguredService]:
    """Return the services of the control plane and of the fleet's compute hosts."""
    services = list(facts.services_with(*CONTROL_PLANE))
    names = {service.name for service in services}
    return services + [s for s, _ in facts.compute_services if s.name not in names]


def _by_name(service: ConfiguredService) -> Mapping[str, ConfiguredAlias]:
    return {alias.name: alias for alias in configured_alias.valid_aliases(service.configuration)}


def _normal_form(alias: Alias) -> Mapping[str, object]:
    return configured_alias.normalize(json.loads(alias.to_json()))


def _similar(
    facts: Facts, alias: Alias, present: Mapping[str, ConfiguredAlias]
) -> ConfiguredAlias | None:
    """Return an alias outside the fleet file that is a missing one under another name."""
    expected = _normal_form(alias)
    others = [other for other in present.values() if other.name not in facts.aliases]
    same = [other for other in others if other.normal_form == expected]
    names = [other.name for other in same or others]
    close = difflib.get_close_matches(alias.name, names, 1, 0 if same else _ALIKE)
    return present[close[0]] if close else None


def _missing(
    facts: Facts, service: ConfiguredService, alias: Alias, similar: ConfiguredAlias | None
) -> Iterator[Finding]:
    if not configured_alias.all_valid(service.configuration):
        # It may be one of the invalid aliases, which alias_syntax reports.
        return
    text = f"alias {alias.name} of the fleet file is missing"
    if similar is not None:
        text += f"; there is {similar.name} instead, which seems to be misspelt"
    yield Finding(
        "alias.missing",
        Severity.FAILURE,
        service.name,
        text,
        similar.assignment.where if similar else service.configuration.where(*_OPTION),
        _WHY,
        facts.fixes.generate(service, similar.assignment if similar else None),
    )


def _different(
    facts: Facts, service: ConfiguredService, configured: ConfiguredAlias, alias: Alias
) -> Iterator[Finding]:
    expected, actual = _normal_form(alias), configured.normal_form
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
            facts.fixes.generate(service, configured.assignment),
        )


def _other_alias(
    facts: Facts,
    services: Sequence[ConfiguredService],
    aliases: Mapping[str, ConfiguredAlias | None],
) -> Iterator[Finding]:
    """Check that an alias outside the fleet file is the same on all services."""
    with_alias = [service for service in services if aliases[service.name]]
    if not with_alias:
        return
    api = next((s for s in with_alias if ServiceRole.API in s.roles), None)
    if api is None and 2 * len(with_alias) < len(services):
        without = next(s for s in services if not aliases[s.name])
        for service in with_alias:
            yield _only_here(facts, service, aliases[service.name], without)
        return
    first = api or _with_most_frequent(with_alias, aliases)
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
            f"alias {reference.name} {'is not that of' if alias else 'is missing, but defined on'} "
            f"{first.name} ({reference.assignment.where})",
            alias.assignment.where if alias else service.configuration.where(*_OPTION),
            _WHY,
            facts.fixes.edit_file(
                service,
                alias.assignment.path if alias else None,
                f"set [pci] alias = {reference.assignment.value}",
            ),
        )


def _with_most_frequent(
    services: Sequence[ConfiguredService], aliases: Mapping[str, ConfiguredAlias | None]
) -> ConfiguredService:
    """Return a service with the most frequent form of an alias."""
    forms = {service.name: _form(aliases[service.name]) for service in services}
    frequency = Counter(forms.values())
    return max(services, key=lambda service: frequency[forms[service.name]])


def _form(alias: ConfiguredAlias | None) -> str:
    return json.dumps(alias.normal_form if alias else None, sort_keys=True)


def _only_here(
    facts: Facts,
    service: ConfiguredService,
    alias: ConfiguredAlias | None,
    without: ConfiguredService,
) -> Finding:
    assert alias is not None
    return Finding(
        "alias.disagrees",
        Severity.FAILURE,
        service.name,
        f"alias {alias.name} is defined, but not on most other services, such as {without.name}",
        alias.assignment.where,
        _WHY,
        facts.fixes.edit_file(service, alias.assignment.path, f"remove alias {alias.name}"),
    )
