# SPDX-License-Identifier: Apache-2.0
"""The resources that empty hosts have left after they were filled with servers."""

import functools
from collections.abc import Hashable, Iterable, Iterator, Sequence

from nova_gpu_passthrough.fleet.aliases import AliasMap
from nova_gpu_passthrough.fleet.flavors import empty_host, leftover_reasons
from nova_gpu_passthrough.fleet.flavors.candidate import FlavorCandidate
from nova_gpu_passthrough.fleet.flavors.empty_host import EmptyHost
from nova_gpu_passthrough.fleet.flavors.feasibility import requested_gpus
from nova_gpu_passthrough.fleet.flavors.flavor_plan import HostResources, StrandedResources
from nova_gpu_passthrough.nova_rules import fill
from nova_gpu_passthrough.nova_rules.host_capacity import HostCapacity
from nova_gpu_passthrough.topology.model import FreeGpu


def fill_with_one_flavor(
    candidate: FlavorCandidate, hosts: Sequence[EmptyHost], aliases: AliasMap
) -> tuple[StrandedResources, ...]:
    """Fill hosts with servers of one flavor; an entry for each set of equal hosts.

    :param hosts: hosts that can boot the flavor
    """
    demand = empty_host.server_demand(candidate.flavor, aliases)
    pinned = demand.guest.pins
    gpus = requested_gpus(candidate.flavor.extra_specs, aliases)
    classes = {alias.resource_class for alias in gpus}
    stranded = []
    for equal in _group_equal((host, host.capacity) for host in hosts):
        host = equal[0]
        filled = fill.fill(host.capacity, {candidate.flavor.name: demand})
        left = _resources(filled.capacity, host, pinned, classes)
        stranded.append(
            StrandedResources(
                tuple(one.layout.host for one in equal),
                filled.servers,
                left,
                _resources(host.capacity, host, pinned, classes),
                leftover_reasons.find(candidate, host.layout, filled.refusal, left),
            )
        )
    return tuple(stranded)


def fill_with_best_mix(
    candidates: Sequence[FlavorCandidate], hosts: Sequence[EmptyHost], aliases: AliasMap
) -> tuple[StrandedResources, ...]:
    """Fill hosts with the mix of flavors that leaves least; an entry for each set of equal hosts.

    A mix has as many servers of one flavor as fit, then servers of the others, the largest first.
    """
    largest = sorted(candidates, key=lambda candidate: -candidate.flavor.gpus)
    bootable = {
        host.layout.host: [c for c in largest if host.layout.host in c.hosts] for host in hosts
    }
    names = {host: tuple(c.flavor.name for c in flavors) for host, flavors in bootable.items()}
    stranded = []
    for equal in _group_equal((host, (host.capacity, names[host.layout.host])) for host in hosts):
        host = equal[0]
        demands = {
            c.flavor.name: empty_host.server_demand(c.flavor, aliases)
            for c in bootable[host.layout.host]
        }
        if not demands:
            continue
        pinned = any(demand.guest.pins for demand in demands.values())
        left = functools.partial(_left, host=host, pinned=pinned)
        filled = fill.fill_best(host.capacity, demands, left)
        stranded.append(
            StrandedResources(
                tuple(one.layout.host for one in equal),
                filled.servers,
                _resources(filled.capacity, host, pinned),
                _resources(host.capacity, host, pinned),
            )
        )
    return tuple(stranded)


def _group_equal(hosts: Iterable[tuple[EmptyHost, Hashable]]) -> Iterator[list[EmptyHost]]:
    """Group hosts with equal keys."""
    groups: dict[Hashable, list[EmptyHost]] = {}
    for host, key in hosts:
        groups.setdefault(key, []).append(host)
    yield from groups.values()


def _left(capacity: HostCapacity, host: EmptyHost, pinned: bool) -> tuple[int, int, int]:
    """Return the GPUs, vCPUs and memory that a capacity has free, to compare fills."""
    resources = _resources(capacity, host, pinned)
    return resources.gpus, resources.vcpus, resources.ram_mib


def _resources(
    capacity: HostCapacity, host: EmptyHost, pinned: bool, classes: set[str] | None = None
) -> HostResources:
    """Return the free resources of a capacity.

    :param classes: resource classes of the GPUs that count; None: all GPUs
    """
    nodes = {node.cell.id for node in host.layout.nodes}
    cells = [cell for cell in capacity.cells if cell.id in nodes]
    cpus = [
        len(cell.free_pinned) if pinned else max(0, len(cell.shared) - cell.shared_used)
        for cell in cells
    ]
    return HostResources(
        sum(
            device.free
            for device in capacity.devices
            if isinstance(device.device, FreeGpu)
            and (classes is None or device.resource_class in classes)
        ),
        sum(cpus),
        sum(cell.as_numa_cell().free_memory_mib for cell in cells),
    )
