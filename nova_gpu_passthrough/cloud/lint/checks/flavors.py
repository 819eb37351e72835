# SPDX-License-Identifier: Apache-2.0
"""What flavors ask for: aliases, resource classes, traits and extra specs that make sense."""

import re
from collections.abc import Iterator

from nova_gpu_passthrough import extra_specs
from nova_gpu_passthrough.cloud.lint import pci_alias
from nova_gpu_passthrough.cloud.lint.configuration.services import Role
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.cloud.lint.requests import Asked, flavors
from nova_gpu_passthrough.fleet import references
from nova_gpu_passthrough.inventory.findings import Finding, Severity
from nova_gpu_passthrough.nova_rules import guest_topology

_TRAIT = re.compile(r"trait([0-9]*|_[A-Za-z0-9_-]+):(\w+)")
_RESOURCE = re.compile(r"resources([0-9]*|_[A-Za-z0-9_-]+):(\w+)")
_OURS = ("CUSTOM_GPU_MODEL_", "CUSTOM_GPU_NUMA_", "CUSTOM_GPU_LINK_", "CUSTOM_NIC_NUMA_")


def check(facts: Facts) -> Iterator[Finding]:
    """Every flavor by itself."""
    for flavor in flavors(facts):
        yield from _alias(facts, flavor)
        yield from _extra_specs(flavor)
        yield from _traits(facts, flavor)
        yield from _resources(facts, flavor)


def _alias(facts: Facts, flavor: Asked) -> Iterator[Finding]:
    text = flavor.extra_specs.get(references.PCI_ALIAS)
    if text is None:
        return
    try:
        asked = references.parse_aliases(text)
    except ValueError as error:
        yield Finding(
            "flavor.alias_invalid",
            Severity.FAILURE,
            flavor.subject,
            f"{references.PCI_ALIAS}: {error}",
            flavor.where,
            "Nova refuses every server with it.",
            f"Set {references.PCI_ALIAS} to NAME:COUNT,...",
        )
        return
    services = facts.role(Role.API)
    configured = {a.name for s in services for a in pci_alias.readable(s.configuration)}
    unknown = sorted(set(asked) - set(facts.aliases) - configured)
    if unknown:
        yield Finding(
            "flavor.alias_unknown",
            Severity.FAILURE if services else Severity.WARNING,
            flavor.subject,
            f"alias {', '.join(unknown)} is neither in the fleet file nor "
            + ("in nova-api's configuration" if services else "elsewhere, as far as is known"),
            flavor.where,
            "Nova refuses every server with it (PciRequestAliasNotDefined).",
            "Name an alias that there is, or define this one on all of Nova's services."
            if services
            else "Let --config name nova-api's configuration, which may have the alias.",
        )


def _extra_specs(flavor: Asked) -> Iterator[Finding]:
    try:
        extra_specs.parse(flavor.extra_specs)
    except extra_specs.InvalidExtraSpecError as error:
        yield Finding(
            "flavor.extra_spec",
            Severity.FAILURE,
            flavor.subject,
            str(error),
            flavor.where,
            "GpuPassthroughFilter refuses every server with it.",
            "Set one of the values, or take the extra spec out.",
        )
    try:
        guest_topology.read(flavor.vcpus, flavor.ram_mib, flavor.extra_specs)
    except guest_topology.GuestError as error:
        yield Finding(
            "flavor.refused",
            Severity.FAILURE,
            flavor.subject,
            str(error),
            flavor.where,
            "Nova refuses every server with it.",
            "Fix the extra specs.",
        )


def _traits(facts: Facts, flavor: Asked) -> Iterator[Finding]:
    known = {*facts.desired.traits, *(facts.cloud.traits if facts.cloud else ())}
    for key, value in flavor.extra_specs.items():
        found = _TRAIT.fullmatch(key)
        if not found:
            continue
        trait, required = found[2], value == "required"
        ours = trait.startswith(_OURS)
        # Without a cloud only our own traits are known.
        if (facts.cloud or ours) and trait not in known:
            yield Finding(
                "flavor.trait_unknown",
                Severity.FAILURE,
                flavor.subject,
                f"trait {trait} ({value}) does not exist",
                flavor.where,
                "Placement refuses every request with a trait that it does not know, even one that "
                "forbids it: no valid host.",
                "Name a trait that a device has (openstack trait list), or take it out.",
            )
        elif required and ours and not found[1]:
            yield Finding(
                "flavor.trait_misplaced",
                Severity.FAILURE,
                flavor.subject,
                f"{key} requires a trait of devices of the host",
                flavor.where,
                "Placement looks for it among the providers of vCPUs and memory only "
                "(_check_traits_for_alloc_request in placement/objects/allocation_candidate.py): "
                "no valid host.",
                'Ask for it by an alias with "traits", or by hw: and gpu: extra specs.',
            )


def _resources(facts: Facts, flavor: Asked) -> Iterator[Finding]:
    classes = {alias.resource_class: alias.name for alias in facts.aliases.values()}
    for key in flavor.extra_specs:
        found = _RESOURCE.fullmatch(key)
        if found and found[2] in classes:
            yield Finding(
                "flavor.resource_only",
                Severity.FAILURE,
                flavor.subject,
                f"{key} takes a device in Placement that the server does not get",
                flavor.where,
                "Nova attaches devices of aliases only; another server finds the device in the "
                "pools, but not in Placement.",
                f"Use {references.PCI_ALIAS} = {classes[found[2]]}:COUNT instead.",
            )
