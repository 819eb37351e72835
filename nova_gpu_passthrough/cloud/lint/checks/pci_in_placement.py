# SPDX-License-Identifier: Apache-2.0
"""PCI in Placement: what compute nodes report is what the scheduler asks for, in that order."""

from collections.abc import Iterator

from nova_gpu_passthrough.cloud.lint.configuration.services import CONTROL
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.inventory.findings import Finding, Severity

_REPORT = ("pci", "report_in_placement")
_ASK = ("filter_scheduler", "pci_in_placement")


def check(facts: Facts) -> Iterator[Finding]:
    """Both options, which the fleet file's configuration switches on."""
    silent = []
    for service, _ in facts.computes:
        if service.configuration.flag(*_REPORT, False):
            continue
        silent.append(service.name)
        yield Finding(
            "pci.not_reported",
            Severity.FAILURE,
            service.name,
            "report_in_placement is off",
            service.configuration.where(*_REPORT),
            "The host's GPUs are no resource providers, so servers never get them once the "
            "scheduler asks Placement.",
            "Set [pci] report_in_placement = true and restart nova-compute; Nova does not let it "
            "be switched off again.",
        )
    readers = facts.role(*CONTROL)
    asking = [s for s in readers if s.configuration.flag(*_ASK, False)]
    for service in readers:
        if service not in asking:
            yield Finding(
                "pci.not_asked",
                Severity.FAILURE,
                service.name,
                "pci_in_placement is off"
                + (f", but on with {', '.join(s.name for s in asking)}" if asking else ""),
                service.configuration.where(*_ASK),
                "Nova refuses aliases by resource class, counts no GPUs in quotas, and "
                "GpuPassthroughFilter cannot choose devices.",
                "Set [filter_scheduler] pci_in_placement = true, the same on nova-api, "
                "nova-conductor and nova-scheduler, when all compute nodes report.",
            )
        elif silent:
            yield Finding(
                "pci.asked_too_early",
                Severity.FAILURE,
                service.name,
                f"pci_in_placement is on, but these do not report: {', '.join(silent)}",
                service.configuration.where(*_ASK),
                "Their GPUs are found by no server: no valid host.",
                "Switch report_in_placement on everywhere first.",
            )
