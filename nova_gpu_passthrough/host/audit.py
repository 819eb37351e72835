# SPDX-License-Identifier: Apache-2.0
"""The audit: facts, checks, verdicts."""

import dataclasses
from collections.abc import Iterable

from nova_gpu_passthrough.host.checks import CHECKS
from nova_gpu_passthrough.host.verdict import verdicts
from nova_gpu_passthrough.inventory.findings import (
    VERDICT,
    Finding,
    Severity,
    Verdict,
    failures_of,
)
from nova_gpu_passthrough.inventory.model import Inventory

_SEVERITIES = {
    Verdict.READY: Severity.OK,
    Verdict.CONFIGURE: Severity.FAILURE,
    Verdict.UNFIT: Severity.FAILURE,
}


def judge(facts: Inventory, further: Iterable[Finding] = ()) -> Inventory:
    """The inventory with findings and verdicts.

    :param further: findings of what is not among the facts: unreadable files, links, the chassis
    """
    findings = [finding for check in CHECKS for finding in check(facts)]
    findings += further
    # A topology export, or a recording without IOMMU groups, tells too little for a verdict.
    enough = facts.tells_kernel and facts.iommu.told
    judged = dict(verdicts(facts.gpus, findings)) if enough else {}
    findings += [_verdict(address, verdict, findings) for address, verdict in judged.items()]
    return dataclasses.replace(facts, findings=tuple(findings), verdicts=judged or None)


def _verdict(address: str, verdict: Verdict, findings: Iterable[Finding]) -> Finding:
    """A verdict as a finding, so that it stands in every list of findings."""
    reasons = sorted({finding.id for finding in failures_of(findings, address)})
    return Finding(
        VERDICT,
        _SEVERITIES[verdict],
        address,
        ": ".join([verdict, *filter(None, [", ".join(reasons)])]),
        "the findings about the host and this GPU",
    )
