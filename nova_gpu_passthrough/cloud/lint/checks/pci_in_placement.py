# SPDX-License-Identifier: Apache-2.0
"""PCI in Placement: compute nodes must report devices before the control plane requests them."""

from collections.abc import Iterator

from nova_gpu_passthrough.cloud.lint.check import lint_check
from nova_gpu_passthrough.cloud.lint.configuration.services import CONTROL_PLANE
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.inventory import host_list
from nova_gpu_passthrough.inventory.findings import Finding, Severity
from nova_gpu_passthrough.inventory.shell_fix import comment, script

_REPORT = ("pci", "report_in_placement")
_REQUEST = ("filter_scheduler", "pci_in_placement")


@lint_check(passthrough=True)
def check(facts: Facts) -> Iterator[Finding]:
    """Check both options, which the generated configuration sets."""
    not_reporting = []
    for service, _ in facts.compute_services:
        if service.configuration.flag(*_REPORT, False):
            continue
        not_reporting.append(service.host)
        yield Finding(
            "pci.not_reported",
            Severity.FAILURE,
            service.name,
            "report_in_placement is off",
            service.configuration.where(*_REPORT),
            "The host's GPUs are not resource providers, so servers never get them once the "
            "scheduler queries Placement. Once it is on, it cannot be switched off again.",
            facts.fixes.generate(service, service.configuration.last(*_REPORT)),
        )
    control_plane = facts.services_with(*CONTROL_PLANE)
    requesting = [s for s in control_plane if s.configuration.flag(*_REQUEST, False)]
    for service in control_plane:
        if service not in requesting:
            yield Finding(
                "pci.not_asked",
                Severity.FAILURE,
                service.name,
                "pci_in_placement is off"
                + (f", but on for {', '.join(s.name for s in requesting)}" if requesting else ""),
                service.configuration.where(*_REQUEST),
                "Nova refuses aliases by resource class, does not count GPUs in quotas, and "
                "GpuPassthroughFilter cannot choose devices.",
                script(
                    comment("When all compute nodes report their devices:"),
                    facts.fixes.generate(service, service.configuration.last(*_REQUEST)),
                ),
            )
        elif not_reporting:
            yield Finding(
                "pci.asked_too_early",
                Severity.FAILURE,
                service.name,
                "pci_in_placement is on, but these hosts do not report: "
                f"{', '.join(host_list.fold(not_reporting))}",
                service.configuration.where(*_REQUEST),
                "No server can get their GPUs: no valid host.",
                facts.fixes.generate_on_all(not_reporting),
            )
