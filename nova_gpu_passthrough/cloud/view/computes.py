# SPDX-License-Identifier: Apache-2.0
"""Compute nodes as Nova knows them."""

from collections.abc import Mapping
from dataclasses import dataclass

from nova_gpu_passthrough.cloud.view.api import Api


@dataclass(frozen=True)
class Compute:
    """One nova-compute and its hypervisor."""

    host: str
    #: The hypervisor's name, which is that of its resource provider.
    node: str
    #: UUID of the hypervisor, which is that of its resource provider; None where there is none.
    provider: str | None
    up: bool
    enabled: bool
    disabled_reason: str
    availability_zone: str | None


def read(api: Api) -> list[Compute]:
    """All compute nodes of the cloud, in the order of their names."""
    services = {
        service["host"]: service
        for service in api.nova("/os-services", binary="nova-compute")["services"]
    }
    computes = []
    for hypervisor in api.pages("/os-hypervisors/detail", "hypervisors"):
        host = hypervisor["service"]["host"]
        computes.append(
            _compute(
                host, hypervisor["hypervisor_hostname"], hypervisor["id"], services.get(host, {})
            )
        )
    known = {compute.host for compute in computes}
    computes += [_compute(h, h, None, services[h]) for h in services if h not in known]
    return sorted(computes, key=lambda compute: (compute.host, compute.node))


def aggregates(api: Api) -> dict[str, dict[str, Mapping[str, str]]]:
    """Metadata by name of aggregate, by host."""
    found: dict[str, dict[str, Mapping[str, str]]] = {}
    for aggregate in api.nova("/os-aggregates")["aggregates"]:
        for host in aggregate["hosts"]:
            found.setdefault(host, {})[aggregate["name"]] = dict(aggregate["metadata"])
    return found


def _compute(
    host: str, node: str, provider: str | None, service: Mapping[str, str | None]
) -> Compute:
    # A cell that cannot be reached tells status UNKNOWN and no state (microversion 2.69).
    return Compute(
        host,
        node,
        provider,
        service.get("state") == "up",
        service.get("status") == "enabled",
        service.get("disabled_reason") or "",
        service.get("zone"),
    )
