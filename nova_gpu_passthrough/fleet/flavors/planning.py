# SPDX-License-Identifier: Apache-2.0
"""Plan all flavors of a fleet."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from nova_gpu_passthrough.fleet.aliases import Alias
from nova_gpu_passthrough.fleet.flavors import (
    candidate,
    draft,
    empty_host,
    group_traits,
    naming,
    stranded_resources,
)
from nova_gpu_passthrough.fleet.flavors.candidate import FlavorCandidate
from nova_gpu_passthrough.fleet.flavors.empty_host import EmptyHost
from nova_gpu_passthrough.fleet.flavors.flavor_plan import FlavorPlan, RefusedFlavor
from nova_gpu_passthrough.fleet.flavors.specs import CPU_POLICY, DEDICATED, THREAD_POLICY
from nova_gpu_passthrough.fleet.model import FlavorRule
from nova_gpu_passthrough.fleet.offers import DeviceKind, Note
from nova_gpu_passthrough.nova_rules import guest_topology

if TYPE_CHECKING:
    from nova_gpu_passthrough.fleet.resolve import ResolvedFleet

_HYPERTHREADING = "HW_CPU_HYPERTHREADING"


def make(resolved: "ResolvedFleet") -> FlavorPlan:
    """Plan the flavors of a fleet, generated and fixed.

    :raises UserError: with line and key, if two flavors have the same name, a name is invalid, or
        the pattern of a project matches no flavor
    """
    aliases = resolved.aliases
    hosts = {
        offer.host: empty_host.make(offer, aliases, resolved.settings) for offer in resolved.offers
    }
    all_hosts = list(hosts.values())
    candidates = [
        *_generated(resolved, hosts),
        *(
            candidate.from_fixed_flavor(resolved.file, number, all_hosts, aliases)
            for number in range(len(resolved.file.fixed_flavors))
        ),
    ]
    naming.check(resolved.file, [(one.flavor.name, one.keys) for one in candidates])
    candidates.sort(key=lambda one: one.flavor.name)
    accepted = require_whole_cores([one for one in candidates if not one.refusal], hosts)
    with_gpus = [one for one in accepted if one.flavor.gpus]
    notes = [note for one in candidates for note in one.notes]
    notes += [
        Note(None, f"pattern {pattern} of project {name} matches only refused flavors")
        for name, pattern in naming.unmatched_patterns(
            resolved.file, [one.flavor.name for one in accepted]
        )
    ]
    return FlavorPlan(
        tuple(one.flavor for one in accepted),
        tuple(
            RefusedFlavor(one.flavor.name, one.flavor.gpus, one.flavor.model, one.refusal)
            for one in candidates
            if one.refusal
        ),
        {
            one.flavor.name: stranded_resources.fill_with_one_flavor(
                one, [hosts[h] for h in one.hosts], aliases
            )
            for one in with_gpus
        },
        stranded_resources.fill_with_best_mix(accepted, all_hosts, aliases),
        {one.flavor.name: one.hosts for one in with_gpus},
        tuple(notes),
    )


def _generated(
    resolved: "ResolvedFleet", hosts: Mapping[str, EmptyHost]
) -> Iterator[FlavorCandidate]:
    for keys, rule in _rules(resolved):
        rule_hosts = [
            host
            for name, host in hosts.items()
            if rule.groups is None or resolved.groups[name].name in rule.groups
        ]
        for alias in resolved.aliases.values():
            if alias.kind is DeviceKind.GPU and alias.model == rule.model:
                yield from _of_alias(resolved, keys, rule, alias, rule_hosts)


def _of_alias(
    resolved: "ResolvedFleet",
    keys: tuple[str | int, ...],
    rule: FlavorRule,
    alias: Alias,
    rule_hosts: Sequence[EmptyHost],
) -> Iterator[FlavorCandidate]:
    """Yield the flavors of a rule and an alias; none if no host of the rule has the alias."""
    layouts = [host.layout for host in rule_hosts if host.layout.gpus(alias)]
    aliases = resolved.aliases
    trait = group_traits.required_trait(rule, alias, resolved.offers, aliases, resolved.groups)
    for count in draft.counts(rule, alias, layouts) if layouts else ():
        drafted = draft.make(rule, alias, count, layouts, aliases, resolved.settings)
        if trait:
            specs = {f"trait:{trait}": "required", **drafted.extra_specs}
            drafted = dataclasses.replace(drafted, extra_specs=specs)
        yield candidate.from_draft(resolved.file, keys, rule, drafted, rule_hosts, aliases)


def _rules(resolved: "ResolvedFleet") -> Iterator[tuple[tuple[str | int, ...], FlavorRule]]:
    """Yield the file's flavor rules with their keys, or a default rule for each model."""
    for number, rule in enumerate(resolved.file.flavors):
        yield ("flavors", number, "name"), rule
    if not resolved.file.flavors:
        for model in sorted({gpu.model for offer in resolved.offers for gpu in offer.gpus}):
            yield ("flavors",), FlavorRule(model)


def require_whole_cores(
    candidates: Sequence[FlavorCandidate], hosts: Mapping[str, EmptyHost]
) -> list[FlavorCandidate]:
    """Set ``hw:cpu_thread_policy=require`` where another flavor of the host uses parts of cores.

    Nova first allocates both threads of free cores, so that servers whose vCPUs are whole cores
    share no core (``_pack_instance_onto_cores`` in nova/virt/hardware.py). After a server of
    another flavor has taken half a core, Nova gives the other half to the next server, unless that
    server requires whole cores.
    """
    partial = [one for one in candidates if _uses_partial_cores(one, hosts)]
    result = []
    for one in candidates:
        affected = any(set(one.hosts) & set(other.hosts) for other in partial)
        if affected and _may_require_threads(one, hosts) and one not in partial:
            specs = {**one.flavor.extra_specs, THREAD_POLICY: "require"}
            flavor = dataclasses.replace(one.flavor, extra_specs=specs)
            one = dataclasses.replace(one, flavor=flavor)
        result.append(one)
    return result


def _uses_partial_cores(one: FlavorCandidate, hosts: Mapping[str, EmptyHost]) -> bool:
    flavor = one.flavor
    if flavor.extra_specs.get(CPU_POLICY) != DEDICATED:
        return False
    cells = guest_topology.from_flavor(flavor.vcpus, flavor.ram_mib, flavor.extra_specs).cells
    return any(cell.pinned_cpus % _threads_per_core(hosts[h]) for cell in cells for h in one.hosts)


def _may_require_threads(one: FlavorCandidate, hosts: Mapping[str, EmptyHost]) -> bool:
    """Check whether a generated flavor has no thread policy, and all its hosts have threads."""
    specs = one.flavor.extra_specs
    explicit = THREAD_POLICY in specs or any(_HYPERTHREADING in key for key in specs)
    return (
        one.draft is not None
        and specs.get(CPU_POLICY) == DEDICATED
        and not explicit
        and all(_threads_per_core(hosts[host]) > 1 for host in one.hosts)
    )


def _threads_per_core(host: EmptyHost) -> int:
    return max((node.cell.threads for node in host.layout.nodes), default=1)
