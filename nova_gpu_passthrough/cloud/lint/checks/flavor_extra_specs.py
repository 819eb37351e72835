# SPDX-License-Identifier: Apache-2.0
"""Extra specs of flavors: aliases, traits, resource classes, and values that Nova refuses."""

from collections.abc import Iterator

from nova_gpu_passthrough import extra_specs
from nova_gpu_passthrough.cloud.lint import configured_alias
from nova_gpu_passthrough.cloud.lint.check import lint_check
from nova_gpu_passthrough.cloud.lint.checked_flavors import CheckedFlavor, checked_flavors
from nova_gpu_passthrough.cloud.lint.configuration.services import ServiceRole
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.fleet import device_names, references
from nova_gpu_passthrough.inventory.findings import Finding, Severity
from nova_gpu_passthrough.nova_rules import guest_topology, placement_extra_specs
from nova_gpu_passthrough.nova_rules.alias_string import EXTRA_SPEC


@lint_check(drift=False)
def check(facts: Facts) -> Iterator[Finding]:
    """Check every flavor."""
    for flavor in checked_flavors(facts):
        yield from _alias(facts, flavor)
        yield from _extra_specs(flavor)
        yield from _traits(facts, flavor)
        yield from _resources(facts, flavor)


def _alias(facts: Facts, flavor: CheckedFlavor) -> Iterator[Finding]:
    try:
        requested = references.requested_devices(flavor.extra_specs)
    except ValueError as error:
        yield Finding(
            "flavor.alias_invalid",
            Severity.FAILURE,
            flavor.subject,
            f"{EXTRA_SPEC}: {error}",
            flavor.where,
            "Nova refuses every server with it.",
            f"Set {EXTRA_SPEC} to NAME:COUNT,...",
        )
        return
    services = facts.services_with(ServiceRole.API)
    configured = {a.name for s in services for a in configured_alias.valid_aliases(s.configuration)}
    unknown = sorted(set(requested) - set(facts.aliases) - configured)
    if unknown:
        yield Finding(
            "flavor.alias_unknown",
            Severity.FAILURE if services else Severity.WARNING,
            flavor.subject,
            f"alias {', '.join(unknown)} is neither in the fleet file nor "
            + ("in nova-api's configuration" if services else "elsewhere, as far as is known"),
            flavor.where,
            "Nova refuses every server with it (PciRequestAliasNotDefined).",
            "Use an existing alias, or define this one on all of Nova's services."
            if services
            else "Pass nova-api's configuration with --config; it may define the alias.",
        )


def _extra_specs(flavor: CheckedFlavor) -> Iterator[Finding]:
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
            "Set a valid value, or remove the extra spec.",
        )
    try:
        guest_topology.from_flavor(flavor.vcpus, flavor.ram_mib, flavor.extra_specs)
    except guest_topology.GuestTopologyError as error:
        yield Finding(
            "flavor.refused",
            Severity.FAILURE,
            flavor.subject,
            str(error),
            flavor.where,
            "Nova refuses every server with it.",
            "Fix the extra specs.",
        )


def _traits(facts: Facts, flavor: CheckedFlavor) -> Iterator[Finding]:
    known = {*facts.desired.traits, *(facts.cloud.traits if facts.cloud else ())}
    for key, group, trait, value in placement_extra_specs.traits(flavor.extra_specs):
        is_device_trait = trait.startswith(device_names.DEVICE_TRAIT_PREFIXES)
        # Without a cloud only the traits of the fleet's devices are known.
        if (facts.cloud or is_device_trait) and trait not in known:
            yield Finding(
                "flavor.trait_unknown",
                Severity.FAILURE,
                flavor.subject,
                f"trait {trait} ({value}) does not exist",
                flavor.where,
                "Placement refuses every request with an unknown trait, even one that forbids it: "
                "no valid host.",
                "Use a trait that a device has (openstack trait list), or remove it.",
            )
        elif value == "required" and is_device_trait and not group:
            yield Finding(
                "flavor.trait_misplaced",
                Severity.FAILURE,
                flavor.subject,
                f"{key} requires a trait of devices, but applies to the host",
                flavor.where,
                "Placement looks for it among the providers of vCPUs and memory only "
                "(_check_traits_for_alloc_request in placement/objects/allocation_candidate.py): "
                "no valid host.",
                'Request it by an alias with "traits", or by hw: and gpu: extra specs.',
            )


def _resources(facts: Facts, flavor: CheckedFlavor) -> Iterator[Finding]:
    classes = {alias.resource_class: alias.name for alias in facts.aliases.values()}
    for key, _, name, _ in placement_extra_specs.resources(flavor.extra_specs):
        if name in classes:
            yield Finding(
                "flavor.resource_only",
                Severity.FAILURE,
                flavor.subject,
                f"{key} allocates a device in Placement that the server does not get",
                flavor.where,
                "Nova attaches only devices of aliases; for other servers the device is free in "
                "the pools, but not in Placement.",
                f"Use {EXTRA_SPEC} = {classes[name]}:COUNT instead.",
            )
