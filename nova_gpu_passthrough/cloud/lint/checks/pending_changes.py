# SPDX-License-Identifier: Apache-2.0
"""Changes that ``nova-gpu apply`` would make, and differences that it would skip."""

from collections.abc import Iterator

from nova_gpu_passthrough.cloud.apply.change import ResourceKind
from nova_gpu_passthrough.cloud.lint.check import lint_check
from nova_gpu_passthrough.cloud.lint.facts import APPLY_COMMAND, Facts
from nova_gpu_passthrough.inventory.findings import Finding, Severity

_IDS = {
    ResourceKind.TRAIT: "cloud.trait",
    ResourceKind.RESOURCE_CLASS: "cloud.resource_class",
    ResourceKind.AGGREGATE: "cloud.aggregate",
    ResourceKind.AGGREGATE_HOST: "cloud.aggregate",
    ResourceKind.AGGREGATE_METADATA: "cloud.aggregate",
    ResourceKind.FLAVOR: "cloud.flavor",
    ResourceKind.REGISTERED_LIMIT: "cloud.limit",
    ResourceKind.PROJECT_LIMIT: "cloud.limit",
    ResourceKind.DEFAULT_QUOTA: "cloud.quota",
    ResourceKind.PROJECT_QUOTA: "cloud.quota",
}
_WHERE = {
    "cloud.trait": "Placement, traits",
    "cloud.resource_class": "Placement, resource classes",
    "cloud.aggregate": "Nova, host aggregates",
    "cloud.flavor": "Nova, flavors",
    "cloud.limit": "Keystone, limits",
    "cloud.quota": "Nova, quotas",
}
#: An object that is not in the fleet file, and that apply did not create.
FOREIGN = "cloud.foreign"
_WHY = "The cloud differs from the fleet file."


@lint_check()
def check(facts: Facts) -> Iterator[Finding]:
    """Report each change, and each change that apply would skip."""
    if facts.cloud is None:
        return
    for change in facts.cloud.plan.changes:
        identity = _IDS[change.kind]
        yield Finding(
            identity,
            Severity.FAILURE,
            f"{change.kind} {change.name}",
            f"nova-gpu apply would {change.summary}",
            _WHERE[identity],
            _WHY,
            f"{APPLY_COMMAND} (--dry-run shows all changes)",
        )
    for skipped in facts.cloud.plan.skipped:
        yield Finding(
            FOREIGN if skipped.foreign else "cloud.held",
            Severity.WARNING if skipped.foreign else Severity.FAILURE,
            f"{skipped.kind} {skipped.name}",
            skipped.reason,
            _WHERE[_IDS[skipped.kind]],
            "It is in the cloud and not in the fleet file." if skipped.foreign else _WHY,
            f"Add it to the fleet file, or remove it by hand or with {APPLY_COMMAND} --prune."
            if skipped.foreign
            else "Resolve the reason, or change the fleet file.",
        )
