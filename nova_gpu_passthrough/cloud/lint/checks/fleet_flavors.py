# SPDX-License-Identifier: Apache-2.0
"""Flavors that the fleet file asks for and that no host could boot."""

from collections.abc import Iterator

from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.inventory.findings import Finding, Severity


def check(facts: Facts) -> Iterator[Finding]:
    """Where the file names flavors itself; of those made for want of any, others are enough."""
    file = facts.resolved.file
    if not file.flavors and not file.fixed_flavors:
        return
    for refused in facts.made.refused:
        yield Finding(
            "fleet.flavor_refused",
            Severity.WARNING,
            f"flavor {refused.name}",
            refused.reason,
            str(file.path),
            "No empty host can boot it, so it is not made.",
            "Change or take out the rule in the fleet file; nova-gpu flavor generate shows what "
            "fits.",
        )
