# SPDX-License-Identifier: Apache-2.0
"""What the audit said of GPUs that the fleet file gives to servers."""

from collections.abc import Iterator

from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.inventory.findings import HOST, VERDICT, Finding, Severity

#: Warnings of the audit that become failures sooner or later.
_WARNINGS = frozenset(
    ("power.d3cold", "power.d3cold_allowed", "driver.could_take", "companion.could_take")
)


def check(facts: Facts) -> Iterator[Finding]:
    """One finding for each of the audit's on a host, with all GPUs that have it."""
    for offer in facts.resolved.offers:
        addresses = {HOST, *(device.address for device in offer.devices)}
        said: dict[str, list[Finding]] = {}
        for finding in offer.inventory.findings:
            bad = finding.severity is Severity.FAILURE or finding.id in _WARNINGS
            if bad and finding.id != VERDICT and finding.subject in addresses:
                said.setdefault(finding.id, []).append(finding)
        for identity, members in said.items():
            yield _told(offer.host, identity, members)


def _told(host: str, identity: str, members: list[Finding]) -> Finding:
    subjects = ", ".join(dict.fromkeys(finding.subject for finding in members))
    first = members[0]
    return Finding(
        "inventory.told",
        Severity.WARNING,
        f"host {host}",
        f"the audit said {identity} of {subjects}: {first.found}",
        f"inventory of {host}",
        first.why,
        f"{first.fix} Then audit the host anew and put the inventory in the old one's place.",
    )
