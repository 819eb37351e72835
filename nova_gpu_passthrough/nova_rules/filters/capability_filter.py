# SPDX-License-Identifier: Apache-2.0
"""ComputeCapabilitiesFilter: extra specs such as ``capabilities:hypervisor_version``."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nova_gpu_passthrough.nova_rules.filters import extra_spec_operators
from nova_gpu_passthrough.nova_rules.filters.model import (
    FilteredHost,
    FilteredServer,
    NotJudgedError,
)
from nova_gpu_passthrough.nova_rules.host_selection import SchedulerOptions
from nova_gpu_passthrough.nova_rules.refusal import Constraint, FailedConstraint

_SCOPE = "capabilities"
_BITS = "hw:maxphysaddr_bits"
#: Attributes of ``HostState`` that the API does not show, or shows only by a moment ago.
_HIDDEN = frozenset(
    (
        "aggregates",
        "allocation_candidates",
        "cell_uuid",
        "cpu_allocation_ratio",
        "disk_allocation_ratio",
        "disk_mb_used",
        "failed_builds",
        "free_disk_mb",
        "free_ram_mb",
        "instances",
        "limits",
        "metrics",
        "num_instances",
        "num_io_ops",
        "numa_topology",
        "pci_stats",
        "ram_allocation_ratio",
        "service",
        "stats",
        "supported_instances",
        "total_usable_disk_gb",
        "total_usable_ram_mb",
        "updated",
        "uuid",
        "vcpus_total",
        "vcpus_used",
    )
)


def capabilities(
    host: FilteredHost, server: FilteredServer, options: SchedulerOptions
) -> FailedConstraint | None:
    """Compare extra specs with the host's attributes."""
    for spec, path, requirement in _requirements(server.extra_specs, host):
        value = _value(spec, path, host.attributes)
        if value is None:
            found = "the host does not report it"
        elif not extra_spec_operators.matches(str(value), requirement):
            found = f"the host has {value}"
        else:
            continue
        return FailedConstraint(
            Constraint.CAPABILITIES, f"extra spec {spec} is {requirement!r}, {found}"
        )
    return None


def _requirements(
    extra_specs: Mapping[str, str], host: FilteredHost
) -> Iterator[tuple[str, Sequence[str], str]]:
    """Yield extra specs with the path to the attribute and the requirement."""
    for spec, requirement in extra_specs.items():
        scope = spec.split(":")
        if spec == _BITS:
            continue
        if len(scope) == 1:
            # Nova ignores a name that is neither an attribute nor in the host's statistics, and
            # these count servers by state, for instance num_vm_active.
            if spec in host.attributes or spec in _HIDDEN or spec.startswith("num_"):
                yield spec, scope, requirement
        elif scope[0] == _SCOPE:
            yield spec, scope[1:], requirement
    if _BITS in extra_specs:
        yield _BITS, ("cpu_info", "maxphysaddr", "bits"), f">= {extra_specs[_BITS]}"


def _value(spec: str, path: Sequence[str], attributes: Mapping[str, Any]) -> Any:
    if path[0] not in attributes:
        # Any other name may be in the host's statistics.
        raise NotJudgedError(f"extra spec {spec}: Nova's API does not show {path[0]} of hosts")
    value: Any = attributes
    for name in path:
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError:
                return None
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value
