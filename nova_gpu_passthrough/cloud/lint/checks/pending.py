# SPDX-License-Identifier: Apache-2.0
"""What ``nova-gpu apply`` would still do, and what it leaves alone although it is otherwise."""

from collections.abc import Iterator

from nova_gpu_passthrough.cloud.apply.change import Kind
from nova_gpu_passthrough.cloud.lint import facts as fix
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.inventory.findings import Finding, Severity

_IDS = {
    Kind.TRAIT: "cloud.trait",
    Kind.RESOURCE_CLASS: "cloud.resource_class",
    Kind.AGGREGATE: "cloud.aggregate",
    Kind.AGGREGATE_HOST: "cloud.aggregate",
    Kind.AGGREGATE_METADATA: "cloud.aggregate",
    Kind.FLAVOR: "cloud.flavor",
    Kind.REGISTERED_LIMIT: "cloud.limit",
    Kind.PROJECT_LIMIT: "cloud.limit",
    Kind.DEFAULT_QUOTA: "cloud.quota",
    Kind.PROJECT_QUOTA: "cloud.quota",
}
_PLACES = {
    "cloud.trait": "Placement, traits",
    "cloud.resource_class": "Placement, resource classes",
    "cloud.aggregate": "Nova, host aggregates",
    "cloud.flavor": "Nova, flavors",
    "cloud.limit": "Keystone, limits",
    "cloud.quota": "Nova, quotas",
}
_WHY = "The cloud is not what the fleet file says."


def check(facts: Facts) -> Iterator[Finding]:
    """One finding for each change, and for each thing that is held back."""
    if facts.cloud is None:
        return
    for change in facts.cloud.plan.changes:
        identity = _IDS[change.kind]
        yield Finding(
            identity,
            Severity.FAILURE,
            f"{change.kind} {change.name}",
            f"nova-gpu apply would {change.summary}",
            _PLACES[identity],
            _WHY,
            f"{fix.APPLY} (--dry-run shows all that it would do)",
        )
    for held in facts.cloud.plan.held:
        yield Finding(
            "cloud.foreign" if held.foreign else "cloud.held",
            Severity.WARNING if held.foreign else Severity.FAILURE,
            f"{held.kind} {held.name}",
            held.reason,
            _PLACES[_IDS[held.kind]],
            "It is in the cloud and not in the fleet file." if held.foreign else _WHY,
            f"Put it into the fleet file, or take it away by hand or with {fix.APPLY} --prune."
            if held.foreign
            else "Do what the reason says, or change the fleet file.",
        )
