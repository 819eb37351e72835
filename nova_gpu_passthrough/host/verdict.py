# SPDX-License-Identifier: Apache-2.0
"""From findings to one verdict per GPU."""

from collections.abc import Iterable, Mapping

from nova_gpu_passthrough.inventory.findings import Finding, Remedy, Verdict, failures_of
from nova_gpu_passthrough.inventory.pci import Gpu

#: Failures that an operator can fix without touching the hardware.
_FIXABLE = frozenset((Remedy.CONFIGURATION, Remedy.FIRMWARE))


def verdicts(gpus: Iterable[Gpu], findings: Iterable[Finding]) -> Mapping[str, Verdict]:
    """Ready without failures, unfit with one that neither configuration nor firmware fixes.

    Failures of the host count for each of its GPUs.
    """
    known = tuple(findings)
    result = {}
    for gpu in gpus:
        failed = {finding.remedy for finding in failures_of(known, gpu.address)}
        if not failed:
            result[gpu.address] = Verdict.READY
        elif failed <= _FIXABLE:
            result[gpu.address] = Verdict.CONFIGURE
        else:
            result[gpu.address] = Verdict.UNFIT
    return result
