# SPDX-License-Identifier: Apache-2.0
"""Options whose value their service would refuse, and unknown ones of our own section."""

from collections.abc import Iterator
from typing import Any

from oslo_config import types

from nova_gpu_passthrough import conf
from nova_gpu_passthrough.cloud.lint.configuration.services import Role, Service
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.inventory.findings import Finding, Severity

_FLAG = types.Boolean()
_NOT_NEGATIVE = types.Float(min=0.0)
#: What the checks read, with its type in nova/conf and placement/conf.
_NOVA: tuple[tuple[str, str, Any], ...] = (
    ("DEFAULT", "ram_allocation_ratio", _NOT_NEGATIVE),
    ("DEFAULT", "reserved_host_memory_mb", types.Integer(min=0)),
    ("filter_scheduler", "host_subset_size", types.Integer(min=1)),
    ("filter_scheduler", "pci_in_placement", _FLAG),
    ("filter_scheduler", "pci_weight_multiplier", _NOT_NEGATIVE),
    ("libvirt", "num_pcie_ports", types.Integer(min=0, max=28)),
    ("pci", "report_in_placement", _FLAG),
    ("quota", "unified_limits_resource_strategy", types.String(choices=["require", "ignore"])),
    ("scheduler", "max_placement_results", types.Integer(min=1)),
)
_PLACEMENT: tuple[tuple[str, str, Any], ...] = (
    ("placement", "allocation_conflict_retry_count", types.Integer()),
    ("placement", "max_allocation_candidates", types.Integer()),
    (
        "placement",
        "allocation_candidates_generation_strategy",
        types.String(choices=["depth-first", "breadth-first"]),
    ),
    ("workarounds", "optimize_for_wide_provider_trees", _FLAG),
)


def check(facts: Facts) -> Iterator[Finding]:
    """Values of options that the other checks read."""
    for service in facts.services:
        known = _NOVA if service.nova else _PLACEMENT
        for section, name, kind in known:
            yield from _value(service, section, name, kind)
    for service in facts.role(Role.SCHEDULER):
        yield from _ours(service)


def _value(service: Service, section: str, name: str, kind: Any) -> Iterator[Finding]:
    found = service.configuration.last(section, name)
    # $name and ${name} stand for the values of other options.
    if found is None or "$" in found.value:
        return
    try:
        kind(found.value)
    except ValueError as error:
        yield Finding(
            "option.invalid",
            Severity.FAILURE,
            service.name,
            f"{name} is {found.value!r}: {str(error).rstrip('.')}",
            found.where,
            "The service does not start, or fails when it reads the option.",
            "Give it a value of its type.",
        )


def _ours(service: Service) -> Iterator[Finding]:
    section = conf.GROUP.name
    known = {option.dest: option for option in conf.OPTS}
    for name, option in known.items():
        yield from _value(service, section, name, option.type)
    for assignment in service.configuration.assignments:
        if assignment.section == section and assignment.key not in known:
            yield Finding(
                "option.unknown",
                Severity.WARNING,
                service.name,
                f"there is no option {assignment.key}",
                assignment.where,
                "oslo.config passes over what it does not know in silence.",
                f"Spell it as one of {', '.join(known)}, or take it out.",
            )
