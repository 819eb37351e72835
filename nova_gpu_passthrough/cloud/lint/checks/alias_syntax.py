# SPDX-License-Identifier: Apache-2.0
"""Aliases that Nova refuses, so that no server with an alias in its flavor can be created.

The rules are those of ``get_alias_from_config`` in nova/pci/request.py.
"""

from collections.abc import Iterator

from nova_gpu_passthrough.cloud.lint import configured_alias
from nova_gpu_passthrough.cloud.lint.check import lint_check
from nova_gpu_passthrough.cloud.lint.configuration.services import ConfiguredService
from nova_gpu_passthrough.cloud.lint.configured_alias import ConfiguredAlias
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.inventory.findings import Finding, Severity

_WHY = "Nova then refuses all aliases of the service, and every server that requests one."


@lint_check()
def check(facts: Facts) -> Iterator[Finding]:
    """Check every alias, then that names are unique."""
    for service in facts.nova_services:
        for assignment in service.configuration.all(*configured_alias.OPTIONS):
            try:
                configured_alias.parse(assignment)
            except ValueError as error:
                yield Finding(
                    "alias.invalid",
                    Severity.FAILURE,
                    service.name,
                    str(error),
                    assignment.where,
                    _WHY,
                    facts.fixes.generate(service, assignment),
                )
        yield from _valid_aliases(facts, service)


def _valid_aliases(facts: Facts, service: ConfiguredService) -> Iterator[Finding]:
    pci_in_placement = service.configuration.flag("filter_scheduler", "pci_in_placement", False)
    by_name: dict[str, ConfiguredAlias] = {}
    for alias in configured_alias.valid_aliases(service.configuration):
        yield from _ids(facts, service, alias, pci_in_placement)
        first = by_name.setdefault(alias.name, alias)
        if first is not alias:
            yield _repeated(facts, service, first, alias, pci_in_placement)


def _ids(
    facts: Facts, service: ConfiguredService, alias: ConfiguredAlias, pci_in_placement: bool
) -> Iterator[Finding]:
    if alias.has_ids or (pci_in_placement and "resource_class" in alias.keys):
        return
    has_class = "resource_class" in alias.keys
    yield Finding(
        "alias.no_ids",
        Severity.FAILURE,
        service.name,
        f"alias {alias.name} has only a resource_class, and pci_in_placement is off"
        if has_class
        else f"alias {alias.name} has neither vendor_id and product_id nor resource_class",
        alias.assignment.where,
        _WHY,
        facts.fixes.set_option(service, "filter_scheduler", "pci_in_placement", "true")
        if has_class
        else facts.fixes.generate(service, alias.assignment),
    )


def _repeated(
    facts: Facts,
    service: ConfiguredService,
    first: ConfiguredAlias,
    alias: ConfiguredAlias,
    pci_in_placement: bool,
) -> Finding:
    identity, why = "alias.repeated", _WHY
    if alias.device_type != first.device_type or alias.device_type is None:
        identity = "alias.type_mismatch"
        types = " and ".join(str(a.device_type or "no device_type") for a in (first, alias))
        problem = f"alias {alias.name} is defined twice, with {types}"
    elif alias.numa_policy != first.numa_policy:
        identity = "alias.policy_mismatch"
        problem = (
            f"alias {alias.name} is defined twice, with numa_policy {first.numa_policy} and "
            f"{alias.numa_policy}"
        )
    else:
        problem = f"alias {alias.name} is defined twice"
        if not pci_in_placement:
            why = "Nova accepts devices of both aliases, which PCI in Placement will refuse."
    return Finding(
        identity,
        Severity.FAILURE,
        service.name,
        f"{problem} (the first at {first.assignment.where})",
        alias.assignment.where,
        why,
        facts.fixes.edit_file(
            service,
            alias.assignment.path,
            f"remove this alias {alias.name}, since names must be unique over all files",
        ),
    )
