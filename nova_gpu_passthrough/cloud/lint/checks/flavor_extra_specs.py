# SPDX-License-Identifier: Apache-2.0
"""Extra specs of flavors: aliases, traits, resource classes, and values that Nova refuses."""

import difflib
from collections.abc import Iterator, Mapping, Sequence

from nova_gpu_passthrough import extra_specs
from nova_gpu_passthrough.cloud.lint import configured_alias
from nova_gpu_passthrough.cloud.lint.check import lint_check
from nova_gpu_passthrough.cloud.lint.checked_flavors import CheckedFlavor, checked_flavors
from nova_gpu_passthrough.cloud.lint.configuration.services import ServiceRole
from nova_gpu_passthrough.cloud.lint.facts import Facts
from nova_gpu_passthrough.fleet import device_names, references
from nova_gpu_passthrough.inventory.findings import Finding, Severity
from nova_gpu_passthrough.inventory.shell_fix import command, comment, script
from nova_gpu_passthrough.nova_rules import guest_topology, placement_extra_specs
from nova_gpu_passthrough.nova_rules.alias_string import EXTRA_SPEC


@lint_check(drift=False)
def check(facts: Facts) -> Iterator[Finding]:
    """Check every flavor."""
    for flavor in checked_flavors(facts):
        yield from _alias(facts, flavor)
        yield from _extra_specs(facts, flavor)
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
            _valid_alias(facts, flavor),
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
            _known_alias(facts, flavor, requested, unknown)
            if services
            else "Give nova-api's configuration to lint with --config; it may define the alias.",
        )


def _valid_alias(facts: Facts, flavor: CheckedFlavor) -> str:
    """Return how to replace an alias string that Nova cannot parse."""
    names = [name for name in facts.aliases if name in flavor.extra_specs[EXTRA_SPEC]]
    if not names:
        return (
            f"Set {EXTRA_SPEC} of flavor {flavor.name} to NAME:COUNT, with commas between several."
        )
    return script(
        comment("With the number of devices that you mean:"),
        flavor.set_extra_spec(facts, EXTRA_SPEC, ",".join(f"{name}:1" for name in names)),
    )


def _known_alias(
    facts: Facts, flavor: CheckedFlavor, requested: Mapping[str, int], unknown: Sequence[str]
) -> str:
    """Return how to replace aliases that do not exist by those with the most similar names."""
    names = list(facts.aliases)
    similar = {name: difflib.get_close_matches(name, names, 1) for name in unknown}
    if not all(similar.values()):
        return (
            f"Set {EXTRA_SPEC} of flavor {flavor.name} to existing aliases ({', '.join(names)}), "
            f"or define {', '.join(unknown)} on all of Nova's services."
        )
    value = ",".join(
        f"{similar[name][0] if name in similar else name}:{count}"
        for name, count in requested.items()
    )
    return script(
        flavor.set_extra_spec(facts, EXTRA_SPEC, value),
        comment(f"Or define {', '.join(unknown)} on all of Nova's services."),
    )


def _extra_specs(facts: Facts, flavor: CheckedFlavor) -> Iterator[Finding]:
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
            flavor.unset_extra_spec(facts, *_invalid(flavor.extra_specs)),
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
            script(
                comment("Correct the extra specs of the flavor:"),
                command("openstack", "flavor", "show", flavor.id),
            )
            if flavor.id and not flavor.in_fleet
            else facts.fixes.edit_fleet(f"correct extra_specs of flavor {flavor.name}"),
        )


def _invalid(specs: Mapping[str, str]) -> list[str]:
    """Return the keys of invalid ``gpu:`` extra specs."""
    invalid = []
    for key, value in specs.items():
        try:
            extra_specs.parse({key: value})
        except extra_specs.InvalidExtraSpecError:
            invalid.append(key)
    return invalid


def _traits(facts: Facts, flavor: CheckedFlavor) -> Iterator[Finding]:
    known = {*facts.desired.traits, *(facts.cloud.traits if facts.cloud else ())}
    for key, group, trait, value in placement_extra_specs.traits(flavor.extra_specs):
        is_device_trait = trait.startswith(device_names.DEVICE_TRAIT_PREFIXES)
        # Without a cloud only the traits of the fleet's devices are known.
        if (facts.cloud or is_device_trait) and trait not in known:
            similar = difflib.get_close_matches(trait, known, 1)
            hint = f"; did you mean {similar[0]}?" if similar else ""
            yield Finding(
                "flavor.trait_unknown",
                Severity.FAILURE,
                flavor.subject,
                f"trait {trait} ({value}) does not exist{hint}",
                flavor.where,
                "Placement refuses every request with an unknown trait, even one that forbids it: "
                "no valid host.",
                script(
                    flavor.unset_extra_spec(facts, key),
                    flavor.set_extra_spec(facts, key.replace(trait, similar[0]), value)
                    if similar
                    else "",
                ),
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
                script(
                    flavor.unset_extra_spec(facts, key),
                    comment("Request it by an alias with traits, or by hw: and gpu: extra specs."),
                ),
            )


def _resources(facts: Facts, flavor: CheckedFlavor) -> Iterator[Finding]:
    classes = {alias.resource_class: alias.name for alias in facts.aliases.values()}
    for key, _, name, count in placement_extra_specs.resources(flavor.extra_specs):
        if name in classes:
            yield Finding(
                "flavor.resource_only",
                Severity.FAILURE,
                flavor.subject,
                f"{key} allocates a device in Placement that the server does not get",
                flavor.where,
                "Nova attaches only devices of aliases; for other servers the device is free in "
                "the pools, but not in Placement.",
                script(
                    flavor.unset_extra_spec(facts, key),
                    flavor.set_extra_spec(facts, EXTRA_SPEC, f"{classes[name]}:{count}"),
                ),
            )
