# SPDX-License-Identifier: Apache-2.0
"""Option values that the service would refuse, and unknown options in ``[gpu_passthrough]``."""

import difflib
from collections.abc import Iterator
from typing import Any

from oslo_config import types

from nova_gpu_passthrough import conf
from nova_gpu_passthrough.cloud.lint.check import lint_check
from nova_gpu_passthrough.cloud.lint.configuration.services import ConfiguredService, ServiceRole
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.inventory.findings import Finding, Severity

_FLAG = types.Boolean()
_NOT_NEGATIVE = types.Float(min=0.0)
#: The options that the checks read, with their types in nova/conf and placement/conf.
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


@lint_check(drift=False)
def check(facts: Facts) -> Iterator[Finding]:
    """Check the options that other checks read, then those in ``[gpu_passthrough]``."""
    for service in facts.services:
        known = _NOVA if service.is_nova else _PLACEMENT
        for section, name, option_type in known:
            yield from _value(facts, service, section, name, option_type)
    for service in facts.services_with(ServiceRole.SCHEDULER):
        yield from _gpu_passthrough(facts, service)


def _value(
    facts: Facts, service: ConfiguredService, section: str, name: str, option_type: Any
) -> Iterator[Finding]:
    assignment = service.configuration.last(section, name)
    # $name and ${name} refer to other options.
    if assignment is None or "$" in assignment.value:
        return
    try:
        option_type(assignment.value)
    except ValueError as error:
        yield Finding(
            "option.invalid",
            Severity.FAILURE,
            service.name,
            f"{name} is {assignment.value!r}: {str(error).rstrip('.')}",
            assignment.where,
            "The service does not start, or fails when it reads the option.",
            facts.fixes.edit_file(
                service, assignment.path, f"set [{section}] {name} to {_expected(option_type)}"
            ),
        )


def _expected(option_type: Any) -> str:
    """Describe the values of an option."""
    if isinstance(option_type, types.Boolean):
        return "true or false"
    choices = getattr(option_type, "choices", None)
    if choices:
        return " or ".join(map(str, choices))
    noun = "a number" if isinstance(option_type, types.Float) else "a whole number"
    if not isinstance(option_type, types.Number):
        return "a valid value"
    least, most = option_type.min, option_type.max
    if least is not None and most is not None:
        return f"{noun} from {least:g} to {most:g}"
    return f"{noun} of at least {least:g}" if least is not None else noun


def _gpu_passthrough(facts: Facts, service: ConfiguredService) -> Iterator[Finding]:
    section = conf.GROUP.name
    known = {option.dest: option for option in conf.OPTS}
    for name, option in known.items():
        yield from _value(facts, service, section, name, option.type)
    for assignment in service.configuration.assignments:
        if assignment.section == section and assignment.key not in known:
            close = difflib.get_close_matches(assignment.key, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            change = f"rename {assignment.key} to {close[0]}" if close else None
            yield Finding(
                "option.unknown",
                Severity.WARNING,
                service.name,
                f"option {assignment.key} does not exist{hint}",
                assignment.where,
                "oslo.config silently ignores unknown options.",
                facts.fixes.edit_file(
                    service,
                    assignment.path,
                    change or f"remove {assignment.key}; there are {', '.join(known)}",
                    (ServiceRole.SCHEDULER,),
                ),
            )
