# SPDX-License-Identifier: Apache-2.0
"""Derive the desired state of a cloud from a resolved fleet."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import os_resource_classes
import os_traits

from nova_gpu_passthrough.conf import AGGREGATE_PREFIX
from nova_gpu_passthrough.fleet import device_spec, flavors, isolation, limits
from nova_gpu_passthrough.fleet.desired_state import Aggregate, DesiredState, Flavor
from nova_gpu_passthrough.fleet.flavors import FlavorPlan, group_traits
from nova_gpu_passthrough.fleet.model import HostGroup
from nova_gpu_passthrough.fleet.references import gpu_aliases
from nova_gpu_passthrough.nova_rules import guest_topology, placement_extra_specs

if TYPE_CHECKING:
    from nova_gpu_passthrough.fleet.resolve import ResolvedFleet

#: The key of aggregate metadata for the group's mode.
GPU_MODE = "gpu_mode"


def make(resolved: "ResolvedFleet") -> tuple[DesiredState, FlavorPlan]:
    """Derive the desired state, and the flavor plan that its flavors come from.

    :raises UserError: as ``flavors.make``
    """
    plan = flavors.make(resolved)
    notes = (
        *plan.notes,
        *limits.notes(resolved, plan.flavors),
        *isolation.notes(resolved, plan),
    )
    plan = dataclasses.replace(plan, notes=notes)
    file = resolved.file
    aggregates = sorted(
        (_aggregate(resolved, group, plan) for group in file.groups), key=lambda a: a.name
    )
    classes = {alias.resource_class for alias in resolved.aliases.values()}
    classes.update(
        one.name
        for flavor in plan.flavors
        for one in placement_extra_specs.resources(flavor.extra_specs)
    )
    desired = DesiredState(
        file.name,
        tuple(sorted(set(_traits(resolved, plan.flavors)))),
        tuple(sorted(filter(os_resource_classes.is_custom, classes))),
        tuple(aggregates),
        plan.flavors,
        str(file.quotas.driver),
        limits.make(resolved),
        limits.unlimited(resolved),
        {name: a.resource_class for name, a in sorted(gpu_aliases(resolved.aliases).items())},
    )
    return desired, plan


def _aggregate(resolved: "ResolvedFleet", group: HostGroup, plan: FlavorPlan) -> Aggregate:
    hosts = tuple(host for host, other in resolved.groups.items() if other.name == group.name)
    metadata = {GPU_MODE: str(group.mode)}
    for key, value in _reserved(plan, hosts).items():
        metadata[AGGREGATE_PREFIX + key] = str(value)
    return Aggregate(
        group.aggregate_name,
        hosts,
        {**metadata, **group.metadata},
        group.availability_zone,
        isolation.projects(resolved.file, group),
    )


def _reserved(plan: FlavorPlan, hosts: Iterable[str]) -> dict[str, int]:
    """Return what GpuPassthroughFilter reserves for each free GPU: the minimum of all flavors."""
    group_flavors = [
        flavor
        for flavor in plan.flavors
        if flavor.gpus and set(plan.hosts[flavor.name]).intersection(hosts)
    ]
    if not group_flavors:
        return {}
    cpus: dict[str, list[int]] = {}
    for flavor in group_flavors:
        guest = guest_topology.from_flavor(flavor.vcpus, flavor.ram_mib, flavor.extra_specs)
        pinned = sum(cell.pinned_cpus for cell in guest.cells)
        counts = {
            "reserved_pcpus_per_gpu": pinned,
            "reserved_vcpus_per_gpu": flavor.vcpus - pinned,
        }
        for key, count in counts.items():
            if count:
                cpus.setdefault(key, []).append(count // flavor.gpus)
    return {
        **{key: min(shares) for key, shares in sorted(cpus.items())},
        "reserved_ram_mib_per_gpu": min(flavor.ram_mib // flavor.gpus for flavor in group_flavors),
    }


def _traits(resolved: "ResolvedFleet", created: Sequence[Flavor]) -> Iterator[str]:
    """Yield the custom traits of devices and hosts, and those that flavors name."""
    for offer in resolved.offers:
        for entry in device_spec.make(offer, resolved.aliases, resolved.settings):
            yield from filter(os_traits.is_custom, entry.get("traits", "").split(","))
    hosts = group_traits.traits_by_host(
        resolved.file, resolved.offers, resolved.aliases, resolved.groups
    )
    for names in hosts.values():
        yield from names
    for flavor in created:
        for one in placement_extra_specs.traits(flavor.extra_specs):
            if os_traits.is_custom(one.name):
                yield one.name
