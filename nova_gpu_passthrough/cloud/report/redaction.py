# SPDX-License-Identifier: Apache-2.0
"""Leave out of a snapshot what the public may not read, so that no page of it can tell.

Tenants and their servers, users and projects are gone, and so is every text that can contain their
names: reasons of disabled services, notes, aggregates, host groups. As in Nova's API for tenants,
hosts have no names. A flavor that is not public is named by its size.
"""

import dataclasses
from collections.abc import Iterable, Mapping

from nova_gpu_passthrough.cloud.fit.capacity import CloudCapacity, FlavorCapacity
from nova_gpu_passthrough.cloud.report import availability, formatting
from nova_gpu_passthrough.cloud.report.snapshot import Snapshot
from nova_gpu_passthrough.cloud.view.model import (
    CloudDevice,
    CloudFlavor,
    CloudHost,
    CloudView,
)
from nova_gpu_passthrough.fleet import isolation
from nova_gpu_passthrough.nova_rules.filters.aggregate_filters import TENANT_KEY
from nova_gpu_passthrough.nova_rules.refusal import Refusal

#: Aggregates that say that only some projects may use a host, and not which.
_SOME_PROJECTS = {"": {TENANT_KEY: isolation.NOBODY}}


def redact(snapshot: Snapshot) -> Snapshot:
    """Return a snapshot for everyone."""
    hosts = [host for host in formatting.sort_hosts(snapshot.view.hosts) if host.gpus]
    names = {host.name: f"host {number}" for number, host in enumerate(hosts, start=1)}
    flavors = {flavor.name: flavor for flavor in snapshot.view.flavors}
    return Snapshot(
        CloudView(snapshot.view.taken_at, tuple(_host(host, names[host.name]) for host in hosts)),
        CloudCapacity(
            snapshot.capacity.taken_at,
            tuple(_flavors(snapshot, flavors, names)),
            tuple(
                dataclasses.replace(gpu, host=names[gpu.host], detail="", flavor=None)
                for gpu in snapshot.capacity.stranded
                if gpu.host in names
            ),
        ),
        fleet=snapshot.fleet,
        counted=snapshot.counted,
        public=True,
    )


def _host(host: CloudHost, name: str) -> CloudHost:
    """Keep what is free and used; hosts with the same models are a group."""
    return CloudHost(
        name,
        "" if host.provider is not None else None,
        host.up,
        host.enabled,
        group=" and ".join(sorted({gpu.model or "" for gpu in host.gpus})),
        availability_zone=host.availability_zone,
        aggregates={} if host.reserved_for is None else _SOME_PROJECTS,
        resources=host.resources,
        numa=host.numa,
        devices=tuple(_gpu(gpu, name) for gpu in host.gpus),
        known=host.known,
    )


def _gpu(gpu: CloudDevice, host: str) -> CloudDevice:
    return CloudDevice(
        host,
        gpu.address,
        "",
        gpu.model,
        gpu.state,
        gpu.numa_node,
        gpu.link_group,
        gpu.switch,
        resource=gpu.resource,
    )


def _flavors(
    snapshot: Snapshot, flavors: Mapping[str, CloudFlavor], hosts: Mapping[str, str]
) -> Iterable[FlavorCapacity]:
    """Yield the flavors, counted on hosts that all their projects may use.

    Private flavors of equal size and capacity are one.
    """
    seen = set()
    for each in snapshot.capacity.flavors:
        flavor = flavors.get(each.flavor)
        reserved = availability.reserved_hosts(snapshot, flavor) if flavor else ()
        name = _flavor_name(each, flavor)
        servers = max(0, each.servers - sum(each.by_host.get(host, 0) for host in reserved))
        if (name, servers) not in seen:
            seen.add((name, servers))
            kept = {host: name for host, name in hosts.items() if host not in reserved}
            yield FlavorCapacity(
                name,
                each.gpus,
                each.model,
                servers,
                {new: each.by_host[old] for old, new in kept.items() if old in each.by_host},
                {
                    new: Refusal(each.limits[old].constraint, "", each.limits[old].stage)
                    for old, new in kept.items()
                    if old in each.limits
                },
                each.exact,
                hosts_with_gpus=frozenset(
                    new for old, new in kept.items() if old in each.hosts_with_gpus
                ),
            )


def _flavor_name(counted: FlavorCapacity, flavor: CloudFlavor | None) -> str:
    if flavor is None or flavor.public:
        return counted.flavor
    model = counted.model or "GPUs of several models"
    ram = formatting.gib(flavor.ram_mib)
    return f"{counted.gpus} × {model}, {flavor.vcpus} vCPUs, {ram} GiB"
