# SPDX-License-Identifier: Apache-2.0
"""Options of nova-scheduler: policy, GPU resource classes, and the limit of Placement results."""

from collections.abc import Iterator

from nova_gpu_passthrough.cloud.lint import configured_alias
from nova_gpu_passthrough.cloud.lint.check import lint_check
from nova_gpu_passthrough.cloud.lint.configuration.services import ConfiguredService, ServiceRole
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.fleet.offers import DeviceKind
from nova_gpu_passthrough.inventory.findings import Finding, Severity

_SECTION = "gpu_passthrough"
_RESULTS = ("scheduler", "max_placement_results")
#: Nova's default (nova/conf/scheduler.py).
_DEFAULT_RESULTS = 1000


@lint_check(passthrough=True)
def check(facts: Facts) -> Iterator[Finding]:
    """Check every nova-scheduler."""
    for service in facts.services_with(ServiceRole.SCHEDULER):
        yield from _policy(facts, service)
        yield from _gpu_requests(facts, service)
        yield from _results(facts, service)


def _policy(facts: Facts, service: ConfiguredService) -> Iterator[Finding]:
    configured = service.configuration.text(_SECTION, "policy", "pack")
    expected = facts.resolved.settings.policy
    if configured != expected:
        yield Finding(
            "scheduler.policy",
            Severity.WARNING,
            service.name,
            f"policy is {configured}, the fleet file sets {expected}",
            service.configuration.where(_SECTION, "policy"),
            "Hosts are not ranked as intended.",
            facts.fixes.generate(service, service.configuration.last(_SECTION, "policy")),
        )


def _gpu_requests(facts: Facts, service: ConfiguredService) -> Iterator[Finding]:
    """Check how the filter recognises GPU requests."""
    configuration = service.configuration
    expected = {a.resource_class for a in facts.aliases.values() if a.kind is DeviceKind.GPU}
    missing = expected - set(configuration.names(_SECTION, "resource_classes") or ())
    if missing:
        yield Finding(
            "scheduler.resource_classes",
            Severity.WARNING,
            service.name,
            f"resource_classes lacks {', '.join(sorted(missing))}",
            configuration.where(_SECTION, "resource_classes"),
            "While no host has such a GPU in its pools, GpuPassthroughFilter treats servers that "
            "request one as servers without GPUs.",
            facts.fixes.generate(service, configuration.last(_SECTION, "resource_classes")),
        )
    known = {alias.name for alias in configured_alias.valid_aliases(configuration)}
    unknown = set(configuration.names(_SECTION, "aliases") or ()) - known
    alias_option = configuration.last(_SECTION, "aliases")
    if unknown and alias_option:
        yield Finding(
            "scheduler.alias_unknown",
            Severity.WARNING,
            service.name,
            f"aliases names {', '.join(sorted(unknown))}, which is not a [pci] alias",
            configuration.where(_SECTION, "aliases"),
            "It is misspelt or obsolete.",
            facts.fixes.edit_file(
                service,
                alias_option.path,
                f"remove {', '.join(sorted(unknown))} from [{_SECTION}] aliases; generated aliases "
                "do not have to be listed there",
                (ServiceRole.SCHEDULER,),
            ),
        )


def _results(facts: Facts, service: ConfiguredService) -> Iterator[Finding]:
    configured = service.configuration.number(*_RESULTS, _DEFAULT_RESULTS)
    limits = [
        placement.configuration.number("placement", "max_allocation_candidates")
        for placement in facts.services_with(ServiceRole.PLACEMENT)
    ]
    most = max((limit for limit in limits if limit is not None), default=None)
    if configured is not None and most is not None and configured < most:
        yield Finding(
            "scheduler.placement_results",
            Severity.WARNING,
            service.name,
            f"max_placement_results is {configured:g}, but Placement's "
            f"max_allocation_candidates is {most:g}",
            service.configuration.where(*_RESULTS),
            "Nova truncates Placement's results, so some hosts are never considered.",
            facts.fixes.set_option(service, *_RESULTS, f"{most:g}", roles=(ServiceRole.SCHEDULER,)),
        )
