# SPDX-License-Identifier: Apache-2.0
"""Placement: that requests for many GPUs of one host end, see all hosts, and get GPUs of their own.

For k GPUs of n Placement makes every order of every choice, and without its option for wide trees
every combination first: n to the power of k (placement/objects/allocation_candidate.py, bug
2126751).
"""

from collections.abc import Iterator

from nova_gpu_passthrough.cloud.lint import facts as fix
from nova_gpu_passthrough.cloud.lint.configuration.services import Role, Service
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.generate import control_options
from nova_gpu_passthrough.inventory.findings import Finding, Severity

_CANDIDATES = ("placement", "max_allocation_candidates")
_STRATEGY = ("placement", "allocation_candidates_generation_strategy")
_RETRIES = ("placement", "allocation_conflict_retry_count")
#: Placement's default (conf/placement.py).
_DEFAULT_RETRIES = 10
_WIDE = ("workarounds", "optimize_for_wide_provider_trees")
#: From how many GPUs of one kind on a host on a request for all of them does not end in time.
_MANY = 5


def check(facts: Facts) -> Iterator[Finding]:
    """Of every Placement."""
    many = _most_alike(facts)
    for service in facts.role(Role.PLACEMENT):
        yield from _candidates(facts, service)
        yield from _strategy(service)
        yield from _retries(service)
        yield from _wide(facts, service, many)


def _most_alike(facts: Facts) -> int:
    """The most GPUs of one resource class that a host has."""
    most = 0
    for offer in facts.resolved.offers:
        counts: dict[str, int] = {}
        for gpu in offer.gpus:
            name = facts.alias_of(gpu).resource_class
            counts[name] = counts.get(name, 0) + 1
        most = max(most, *counts.values())
    return most


def _candidates(facts: Facts, service: Service) -> Iterator[Finding]:
    found = service.configuration.number(*_CANDIDATES, -1)
    wanted = control_options.candidates(facts.resolved.offers)
    if found is None or found >= wanted:
        return
    unlimited = found < 0
    yield Finding(
        "placement.candidates",
        Severity.FAILURE if unlimited else Severity.WARNING,
        service.name,
        "max_allocation_candidates is not limited"
        if unlimited
        else f"max_allocation_candidates is {found:g}, expected {wanted} or more",
        service.configuration.where(*_CANDIDATES),
        "Placement makes every order of the same GPUs (40,320 for eight of eight) before Nova's "
        "limit counts, and the request times out."
        if unlimited
        else "A host's free GPUs may not all be named, and hosts be left out.",
        fix.generate("placement"),
    )


def _strategy(service: Service) -> Iterator[Finding]:
    found = service.configuration.text(*_STRATEGY, "depth-first")
    if found != "breadth-first":
        yield Finding(
            "placement.strategy",
            Severity.FAILURE,
            service.name,
            f"allocation_candidates_generation_strategy is {found}",
            service.configuration.where(*_STRATEGY),
            "The first hosts use up all candidates, so others are never looked at (bug 2070257).",
            "Set it to breadth-first.",
        )


def _retries(service: Service) -> Iterator[Finding]:
    found = service.configuration.number(*_RETRIES, _DEFAULT_RETRIES)
    if found is not None and found > 1:
        yield Finding(
            "placement.retries",
            Severity.WARNING,
            service.name,
            f"allocation_conflict_retry_count is {found:g}",
            service.configuration.where(*_RETRIES),
            "When two servers ask for the same GPU at once, Placement's own retry may give it to "
            "both, and the compute node refuses one of them.",
            "Set it to 1: Nova tries again by itself.",
        )


def _wide(facts: Facts, service: Service, many: int) -> Iterator[Finding]:
    if service.configuration.flag(*_WIDE, False):
        return
    since = facts.resolved.settings.release.wide_provider_trees_since
    yield Finding(
        "placement.wide_trees",
        Severity.FAILURE if many >= _MANY else Severity.WARNING,
        service.name,
        f"optimize_for_wide_provider_trees is off, and a host has {many} GPUs of one kind",
        service.configuration.where(*_WIDE),
        f"For all of them Placement goes through {many}^{many} combinations"
        + (", and the request times out." if many >= _MANY else "."),
        "Set [workarounds] optimize_for_wide_provider_trees = true"
        + (f" (Placement {since} or newer)." if since else "."),
    )
