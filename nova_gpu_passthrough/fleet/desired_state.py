# SPDX-License-Identifier: Apache-2.0
"""What a cloud shall have for a fleet."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import os_resource_classes
import os_traits

from nova_gpu_passthrough.conf import AGGREGATE_PREFIX
from nova_gpu_passthrough.fleet import device_spec, flavors, limits
from nova_gpu_passthrough.fleet.consistency import aggregate_name
from nova_gpu_passthrough.fleet.desired import Aggregate, Desired, Flavor
from nova_gpu_passthrough.fleet.flavors import FlavorPlan, groups
from nova_gpu_passthrough.fleet.model import HostGroup
from nova_gpu_passthrough.fleet.references import gpu_aliases

if TYPE_CHECKING:
    from nova_gpu_passthrough.fleet.resolve import Resolved

#: Aggregate metadata: the group's mode.
GPU_MODE = "gpu_mode"


def make(resolved: "Resolved") -> tuple[Desired, FlavorPlan]:
    """What the cloud shall have, and how its flavors came about.

    :raises UserError: see ``flavors.make``
    """
    plan = flavors.make(resolved)
    notes = (*plan.notes, *limits.notes(resolved, plan.flavors))
    plan = dataclasses.replace(plan, notes=notes)
    file = resolved.file
    aggregates = sorted(
        (_aggregate(resolved, group, plan) for group in file.groups), key=lambda a: a.name
    )
    classes = [alias.resource_class for alias in resolved.aliases.values()]
    desired = Desired(
        file.name,
        tuple(sorted(set(_traits(resolved, plan.flavors)))),
        tuple(sorted({*filter(_is_custom_class, classes), *_classes(plan.flavors)})),
        tuple(aggregates),
        plan.flavors,
        str(file.quotas.driver),
        limits.make(resolved),
        {name: a.resource_class for name, a in sorted(gpu_aliases(resolved.aliases).items())},
    )
    return desired, plan


def _aggregate(resolved: "Resolved", group: HostGroup, plan: FlavorPlan) -> Aggregate:
    hosts = tuple(host for host, other in resolved.groups.items() if other.name == group.name)
    metadata = {GPU_MODE: str(group.mode)}
    for key, value in _reserved(plan, hosts).items():
        metadata[AGGREGATE_PREFIX + key] = str(value)
    return Aggregate(
        aggregate_name(group), hosts, {**metadata, **group.metadata}, group.availability_zone
    )


def _reserved(plan: FlavorPlan, hosts: Iterable[str]) -> dict[str, int]:
    """What GpuPassthroughFilter keeps for each free GPU: what every flavor has at least."""
    mine = [
        flavor
        for flavor in plan.flavors
        if flavor.gpus and set(plan.hosts[flavor.name]).intersection(hosts)
    ]
    if not mine:
        return {}
    return {
        "reserved_vcpus_per_gpu": min(flavor.vcpus // flavor.gpus for flavor in mine),
        "reserved_ram_mib_per_gpu": min(flavor.ram_mib // flavor.gpus for flavor in mine),
    }


def _traits(resolved: "Resolved", made: Sequence[Flavor]) -> Iterator[str]:
    """Custom traits of devices and hosts, and those that flavors name."""
    for offer in resolved.offers:
        for entry in device_spec.make(offer, resolved.aliases, resolved.settings):
            yield from filter(os_traits.is_custom, entry.get("traits", "").split(","))
    hosts = groups.traits(resolved.file, resolved.offers, resolved.aliases, resolved.groups)
    for names in hosts.values():
        yield from names
    for flavor in made:
        for key in flavor.extra_specs:
            namespace, _, name = key.partition(":")
            if namespace.startswith("trait") and os_traits.is_custom(name):
                yield name


def _classes(made: Sequence[Flavor]) -> Iterator[str]:
    """Custom resource classes that flavors ask for by ``resources:CLASS``."""
    for flavor in made:
        for key in flavor.extra_specs:
            namespace, _, name = key.partition(":")
            if namespace.startswith("resources") and _is_custom_class(name):
                yield name


def _is_custom_class(name: str) -> bool:
    return bool(os_resource_classes.is_custom(name))
