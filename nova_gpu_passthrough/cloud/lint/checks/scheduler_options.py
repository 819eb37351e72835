# SPDX-License-Identifier: Apache-2.0
"""What else nova-scheduler is told about GPUs."""

from collections.abc import Iterator

from nova_gpu_passthrough.cloud.lint import facts as fix
from nova_gpu_passthrough.cloud.lint import pci_alias
from nova_gpu_passthrough.cloud.lint.configuration.services import Role, Service
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.fleet.offers import Kind
from nova_gpu_passthrough.inventory.findings import Finding, Severity

_SECTION = "gpu_passthrough"
_RESULTS = ("scheduler", "max_placement_results")
#: Nova's default (nova/conf/scheduler.py).
_DEFAULT_RESULTS = 1000


def check(facts: Facts) -> Iterator[Finding]:
    """Of every nova-scheduler."""
    for service in facts.role(Role.SCHEDULER):
        yield from _policy(facts, service)
        yield from _gpus(facts, service)
        yield from _results(facts, service)


def _policy(facts: Facts, service: Service) -> Iterator[Finding]:
    found = service.configuration.text(_SECTION, "policy", "pack")
    wanted = facts.resolved.settings.policy
    if found != wanted:
        yield Finding(
            "scheduler.policy",
            Severity.WARNING,
            service.name,
            f"policy is {found}, the fleet file says {wanted}",
            service.configuration.where(_SECTION, "policy"),
            "Hosts are ranked other than intended.",
            fix.generate(service.name),
        )


def _gpus(facts: Facts, service: Service) -> Iterator[Finding]:
    """Which aliases ask for GPUs."""
    configuration = service.configuration
    wanted = {a.resource_class for a in facts.aliases.values() if a.kind is Kind.GPU}
    missing = wanted - set(configuration.names(_SECTION, "resource_classes") or ())
    if missing:
        yield Finding(
            "scheduler.resource_classes",
            Severity.WARNING,
            service.name,
            f"resource_classes lacks {', '.join(sorted(missing))}",
            configuration.where(_SECTION, "resource_classes"),
            "While no host shows such a GPU in its pools, GpuPassthroughFilter takes servers that "
            "ask for one for servers without GPUs.",
            fix.generate(service.name),
        )
    known = {alias.name for alias in pci_alias.readable(configuration)}
    unknown = set(configuration.names(_SECTION, "aliases") or ()) - known
    if unknown:
        yield Finding(
            "scheduler.alias_unknown",
            Severity.WARNING,
            service.name,
            f"aliases names {', '.join(sorted(unknown))}, which is no [pci] alias",
            configuration.where(_SECTION, "aliases"),
            "It is misspelt, or left over.",
            "Take it out; generated aliases need not be named there.",
        )


def _results(facts: Facts, service: Service) -> Iterator[Finding]:
    found = service.configuration.number(*_RESULTS, _DEFAULT_RESULTS)
    generated = [
        placement.configuration.number("placement", "max_allocation_candidates")
        for placement in facts.role(Role.PLACEMENT)
    ]
    most = max((number for number in generated if number is not None), default=None)
    if found is not None and most is not None and found < most:
        yield Finding(
            "scheduler.placement_results",
            Severity.WARNING,
            service.name,
            f"max_placement_results is {found:g}, Placement's max_allocation_candidates {most:g}",
            service.configuration.where(*_RESULTS),
            "Nova cuts what Placement gives, so some hosts are never looked at.",
            f"Set [scheduler] max_placement_results = {most:g}.",
        )
