# SPDX-License-Identifier: Apache-2.0
"""Changes that ``nova-gpu apply`` would make, and differences that it would skip."""

from collections.abc import Iterator

from nova_gpu_passthrough.cloud.apply.change import ResourceKind
from nova_gpu_passthrough.cloud.lint.check import lint_check
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.inventory.findings import Finding, Severity
from nova_gpu_passthrough.inventory.shell_fix import comment, script

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
            facts.fixes.apply(),
        )
    for skipped in facts.cloud.plan.skipped:
        yield Finding(
            FOREIGN if skipped.foreign else "cloud.held",
            Severity.WARNING if skipped.foreign else Severity.FAILURE,
            f"{skipped.kind} {skipped.name}",
            skipped.reason,
            _WHERE[_IDS[skipped.kind]],
            "It is in the cloud and not in the fleet file." if skipped.foreign else _WHY,
            _prune(facts)
            if skipped.foreign
            else facts.fixes.edit_fleet(f"change {skipped.kind} {skipped.name}, or fix the reason"),
        )


def _prune(facts: Facts) -> str:
    return script(
        comment(
            f"Add it to {facts.fixes.fleet}; or delete it and all others that are not there, which "
            "this shows, by the same command without --dry-run:"
        ),
        facts.fixes.apply("--prune", "--dry-run"),
    )
