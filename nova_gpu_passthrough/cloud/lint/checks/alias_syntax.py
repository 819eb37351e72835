# SPDX-License-Identifier: Apache-2.0
"""Aliases that Nova refuses: then no server with an alias in its flavor can be created.

The rules are those of ``get_alias_from_config`` in nova/pci/request.py, from Nova 31 to 34.
"""

from collections.abc import Iterator

from nova_gpu_passthrough.cloud.lint import facts as fix
from nova_gpu_passthrough.cloud.lint import pci_alias
from nova_gpu_passthrough.cloud.lint.configuration.services import Service
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.cloud.lint.pci_alias import ConfiguredAlias
from nova_gpu_passthrough.inventory.findings import Finding, Severity

_WHY = "Nova refuses all aliases of the service, so every server that asks for one."


def check(facts: Facts) -> Iterator[Finding]:
    """Every value by itself, then those of one name together."""
    for service in facts.nova:
        for assignment in service.configuration.all(*pci_alias.OPTIONS):
            try:
                pci_alias.parse(assignment)
            except ValueError as error:
                yield Finding(
                    "alias.invalid",
                    Severity.FAILURE,
                    service.name,
                    str(error),
                    assignment.where,
                    _WHY,
                    fix.generate(service.name),
                )
        yield from _together(service)


def _together(service: Service) -> Iterator[Finding]:
    by_placement = service.configuration.flag("filter_scheduler", "pci_in_placement", False)
    seen: dict[str, ConfiguredAlias] = {}
    for alias in pci_alias.readable(service.configuration):
        yield from _ids(service, alias, by_placement)
        first = seen.setdefault(alias.name, alias)
        if first is not alias:
            yield _twice(service, first, alias, by_placement)


def _ids(service: Service, alias: ConfiguredAlias, by_placement: bool) -> Iterator[Finding]:
    if alias.has_ids or (by_placement and "resource_class" in alias.keys):
        return
    by_class = "resource_class" in alias.keys
    yield Finding(
        "alias.no_ids",
        Severity.FAILURE,
        service.name,
        f"alias {alias.name} has a resource_class only, and pci_in_placement is off"
        if by_class
        else f"alias {alias.name} has neither vendor_id and product_id nor resource_class",
        alias.assignment.where,
        _WHY,
        "Set [filter_scheduler] pci_in_placement = true."
        if by_class
        else fix.generate(service.name),
    )


def _twice(
    service: Service, first: ConfiguredAlias, alias: ConfiguredAlias, by_placement: bool
) -> Finding:
    identity, why = "alias.repeated", _WHY
    if alias.device_type != first.device_type or alias.device_type is None:
        identity = "alias.type_mismatch"
        said = " and ".join(str(a.device_type or "no device_type") for a in (first, alias))
        found = f"alias {alias.name} is there twice, with {said}"
    elif alias.numa_policy != first.numa_policy:
        identity = "alias.policy_mismatch"
        found = (
            f"alias {alias.name} is there twice, with numa_policy {first.numa_policy} and "
            f"{alias.numa_policy}"
        )
    else:
        found = f"alias {alias.name} is there twice"
        if not by_placement:
            why = "Nova takes either kind of device, which PCI in Placement will refuse."
    return Finding(
        identity,
        Severity.FAILURE,
        service.name,
        f"{found} (the first at {first.assignment.where})",
        alias.assignment.where,
        why,
        "Take one of them out: a name must not come twice. Values in all files count together.",
    )
