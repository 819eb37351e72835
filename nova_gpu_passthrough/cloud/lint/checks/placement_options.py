# SPDX-License-Identifier: Apache-2.0
"""Options of Placement for requests for many GPUs of one host.

Such requests must complete, consider all hosts, and get GPUs that no other server gets. For k of n
GPUs Placement generates every order of every choice, and without its option for wide trees every
combination first: n to the power of k (placement/objects/allocation_candidate.py, bug 2126751).
"""

from collections.abc import Iterator

from nova_gpu_passthrough.cloud.lint.check import lint_check
from nova_gpu_passthrough.cloud.lint.configuration.services import ConfiguredService, ServiceRole
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.generate import control_options
from nova_gpu_passthrough.inventory.findings import Finding, Severity
from nova_gpu_passthrough.inventory.shell_fix import comment, script

_CANDIDATES = ("placement", "max_allocation_candidates")
_STRATEGY = ("placement", "allocation_candidates_generation_strategy")
_RETRIES = ("placement", "allocation_conflict_retry_count")
#: Placement's default (conf/placement.py).
_DEFAULT_RETRIES = 10
_WIDE = ("workarounds", "optimize_for_wide_provider_trees")
#: Number of equal GPUs on a host from which on a request for all of them times out.
_MANY = 5


@lint_check(passthrough=True)
def check(facts: Facts) -> Iterator[Finding]:
    """Check every Placement service."""
    many = _most_equal_gpus(facts)
    for service in facts.services_with(ServiceRole.PLACEMENT):
        yield from _candidates(facts, service)
        yield from _strategy(facts, service)
        yield from _retries(facts, service)
        yield from _wide(facts, service, many)


def _most_equal_gpus(facts: Facts) -> int:
    """Return the largest number of GPUs of one resource class on a host."""
    most = 0
    for offer in facts.resolved.offers:
        counts: dict[str, int] = {}
        for gpu in offer.gpus:
            name = facts.alias_of(gpu).resource_class
            counts[name] = counts.get(name, 0) + 1
        most = max(most, *counts.values())
    return most


def _candidates(facts: Facts, service: ConfiguredService) -> Iterator[Finding]:
    configured = service.configuration.number(*_CANDIDATES, -1)
    expected = control_options.candidates(facts.resolved.offers)
    if configured is None or configured >= expected:
        return
    unlimited = configured < 0
    yield Finding(
        "placement.candidates",
        Severity.FAILURE if unlimited else Severity.WARNING,
        service.name,
        "max_allocation_candidates is not limited"
        if unlimited
        else f"max_allocation_candidates is {configured:g}, expected {expected} or more",
        service.configuration.where(*_CANDIDATES),
        "Placement generates every order of the same GPUs (40,320 for eight of eight) before "
        "Nova's limit applies, and the request times out."
        if unlimited
        else "The candidates may omit free GPUs of a host, or whole hosts.",
        facts.fixes.generate(service, service.configuration.last(*_CANDIDATES)),
    )


def _strategy(facts: Facts, service: ConfiguredService) -> Iterator[Finding]:
    configured = service.configuration.text(*_STRATEGY, "depth-first")
    if configured != "breadth-first":
        yield Finding(
            "placement.strategy",
            Severity.FAILURE,
            service.name,
            f"allocation_candidates_generation_strategy is {configured}",
            service.configuration.where(*_STRATEGY),
            "The first hosts use up all candidates, so others are never considered (bug 2070257).",
            facts.fixes.generate(service, service.configuration.last(*_STRATEGY)),
        )


def _retries(facts: Facts, service: ConfiguredService) -> Iterator[Finding]:
    configured = service.configuration.number(*_RETRIES, _DEFAULT_RETRIES)
    if configured is not None and configured > 1:
        yield Finding(
            "placement.retries",
            Severity.WARNING,
            service.name,
            f"allocation_conflict_retry_count is {configured:g}",
            service.configuration.where(*_RETRIES),
            "When two servers request the same GPU at once, Placement's own retry may give it to "
            "both, and the compute node refuses one of them. Nova retries by itself.",
            facts.fixes.generate(service, service.configuration.last(*_RETRIES)),
        )


def _wide(facts: Facts, service: ConfiguredService, many: int) -> Iterator[Finding]:
    if service.configuration.flag(*_WIDE, False):
        return
    since = facts.resolved.settings.release.wide_provider_trees_since
    yield Finding(
        "placement.wide_trees",
        Severity.FAILURE if many >= _MANY else Severity.WARNING,
        service.name,
        f"optimize_for_wide_provider_trees is off, and a host has {many} equal GPUs",
        service.configuration.where(*_WIDE),
        f"For a request for all of them Placement tries {many}^{many} combinations"
        + (", and the request times out." if many >= _MANY else "."),
        script(
            facts.fixes.generate(service, service.configuration.last(*_WIDE)),
            comment(f"Placement must be {since} or newer.") if since else "",
        ),
    )
