# SPDX-License-Identifier: Apache-2.0
"""The checks: each module declares one with ``lint_check`` and names it ``check``."""

import importlib

from nova_gpu_passthrough.cloud.lint.check import Check, run
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.inventory.findings import Finding

#: Modules in the order in which an operator fixes findings: files first, then their consequences.
MODULES = (
    "option_values",
    "alias_syntax",
    "alias_agreement",
    "alias_devices",
    "device_spec_syntax",
    "device_spec_devices",
    "device_spec_values",
    "pci_in_placement",
    "compute_options",
    "scheduler_filters",
    "scheduler_weighers",
    "scheduler_options",
    "placement_options",
    "gpu_host_protection",
    "quota",
    "quota_access",
    "missing_limits",
    "audit_findings",
    "flavor_extra_specs",
    "flavor_fit",
    "compute_hosts",
    "other_projects",
    "device_providers",
    "unusable_devices",
    "pending_changes",
)
CHECKS: tuple[Check, ...] = tuple(
    importlib.import_module(f"{__name__}.{module}").check for module in MODULES
)


def findings(facts: Facts) -> tuple[Finding, ...]:
    """Return the findings of all checks."""
    return tuple(run(CHECKS, facts))
