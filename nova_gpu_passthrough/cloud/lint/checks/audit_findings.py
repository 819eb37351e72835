# SPDX-License-Identifier: Apache-2.0
"""Findings of the audit about GPUs that the fleet file offers to servers."""

from collections.abc import Iterator

from nova_gpu_passthrough.cloud.lint.check import lint_check
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.inventory import finding_groups
from nova_gpu_passthrough.inventory.findings import HOST, VERDICT, Finding, Severity
from nova_gpu_passthrough.inventory.shell_fix import comment, generates_files, script, without_files

#: Warnings of the audit that become failures later.
_WARNINGS = frozenset(
    ("power.d3cold", "power.d3cold_allowed", "driver.could_take", "companion.could_take")
)


@lint_check(drift=False)
def check(facts: Facts) -> Iterator[Finding]:
    """Report each finding of the audit once for each host, with all GPUs concerned."""
    for offer in facts.resolved.offers:
        addresses = {HOST, *(device.address for device in offer.devices)}
        by_id: dict[str, list[Finding]] = {}
        for finding in offer.inventory.findings:
            relevant = finding.severity is Severity.FAILURE or finding.id in _WARNINGS
            if relevant and finding.id != VERDICT and finding.subject in addresses:
                by_id.setdefault(finding.id, []).append(finding)
        for identity, members in by_id.items():
            yield _repeated(facts, offer.host, identity, members)


def _repeated(facts: Facts, host: str, identity: str, members: list[Finding]) -> Finding:
    subjects = ", ".join(dict.fromkeys(finding.subject for finding in members))
    first = members[0]
    # The fix of all GPUs; several if their texts differ.
    fixes = dict.fromkeys(merged.fix for merged in finding_groups.merge(members))
    return Finding(
        "inventory.told",
        Severity.WARNING,
        f"host {host}",
        f"the audit reported {identity} for {subjects}: {first.found}",
        f"inventory of {host}",
        first.why,
        script(*(_in_fleet(facts, host, fix) for fix in fixes), facts.fixes.audit(host)),
    )


def _in_fleet(facts: Facts, host: str, fix: str) -> str:
    """Return a fix of the audit for a host of the fleet."""
    # Scripts begin with a comment.
    if not fix.startswith("#"):
        return comment(fix)
    if not generates_files(fix, host):
        return fix
    return script(without_files(fix, host), facts.fixes.generate_host_files(host))
