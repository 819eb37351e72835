# SPDX-License-Identifier: Apache-2.0
"""All flavors of a fleet."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from nova_gpu_passthrough.fleet.aliases import Alias
from nova_gpu_passthrough.fleet.flavors import (
    candidate,
    capacity,
    cores,
    draft,
    fill,
    groups,
    layout,
    naming,
)
from nova_gpu_passthrough.fleet.flavors.candidate import Candidate
from nova_gpu_passthrough.fleet.flavors.feasibility import Host
from nova_gpu_passthrough.fleet.flavors.plan import FlavorPlan, Refused
from nova_gpu_passthrough.fleet.model import FlavorRule
from nova_gpu_passthrough.fleet.notes import Note
from nova_gpu_passthrough.fleet.offers import Kind

if TYPE_CHECKING:
    from nova_gpu_passthrough.fleet.resolve import Resolved


def make(resolved: "Resolved") -> FlavorPlan:
    """The flavors that the fleet file asks for, generated and written out.

    :raises UserError: with line and key, if two would have the same name, a name is none, or the
        pattern of a project matches nothing
    """
    hosts = {}
    for offer in resolved.offers:
        found = layout.of(offer, resolved.aliases, resolved.settings)
        hosts[offer.host] = Host(found, capacity.of(found, resolved.aliases, resolved.settings))
    candidates = [
        *_generated(resolved, hosts),
        *(
            candidate.of_fixed(resolved.file, number, list(hosts.values()), resolved.aliases)
            for number in range(len(resolved.file.fixed_flavors))
        ),
    ]
    naming.check(resolved.file, [(made.flavor.name, made.keys) for made in candidates])
    candidates.sort(key=lambda made: made.flavor.name)
    able = cores.kept_whole([made for made in candidates if not made.refused], hosts)
    stranded = {
        made.flavor.name: fill.alone(made, [hosts[h] for h in made.hosts], resolved.aliases)
        for made in able
        if made.flavor.gpus
    }
    notes = [note for made in candidates for note in made.notes]
    notes += [
        Note(None, f"pattern {pattern} of project {name} matches only flavors that were refused")
        for name, pattern in naming.without_flavor(
            resolved.file, [made.flavor.name for made in able]
        )
    ]
    return FlavorPlan(
        tuple(made.flavor for made in able),
        tuple(
            Refused(made.flavor.name, made.flavor.gpus, made.flavor.model, made.refused)
            for made in candidates
            if made.refused
        ),
        stranded,
        fill.best(able, list(hosts.values()), resolved.aliases),
        {made.flavor.name: made.hosts for made in able if made.flavor.gpus},
        tuple(notes),
    )


def _generated(resolved: "Resolved", hosts: Mapping[str, Host]) -> Iterator[Candidate]:
    for keys, rule in _rules(resolved):
        members = [
            host
            for name, host in hosts.items()
            if rule.groups is None or resolved.groups[name].name in rule.groups
        ]
        for alias in resolved.aliases.values():
            if alias.kind is Kind.GPU and alias.model == rule.model:
                yield from _of_alias(resolved, keys, rule, alias, members)


def _of_alias(
    resolved: "Resolved",
    keys: tuple[str | int, ...],
    rule: FlavorRule,
    alias: Alias,
    members: Sequence[Host],
) -> Iterator[Candidate]:
    """Flavors of one rule and alias; none if only hosts of other groups have it."""
    layouts = [host.layout for host in members if host.layout.gpus(alias)]
    known = resolved.aliases
    trait = groups.required(rule, alias, resolved.offers, known, resolved.groups)
    for count in draft.counts(rule, alias, layouts) if layouts else ():
        made = draft.make(rule, alias, count, layouts, known, resolved.settings)
        if trait:
            specs = {f"trait:{trait}": "required", **made.extra_specs}
            made = dataclasses.replace(made, extra_specs=specs)
        yield candidate.of_draft(resolved.file, keys, rule, made, members, known)


def _rules(resolved: "Resolved") -> Iterator[tuple[tuple[str | int, ...], FlavorRule]]:
    """The file's, or where it has none the usual one for each model."""
    for number, rule in enumerate(resolved.file.flavors):
        yield ("flavors", number, "name"), rule
    if not resolved.file.flavors:
        for model in sorted({gpu.model for offer in resolved.offers for gpu in offer.gpus}):
            yield ("flavors",), FlavorRule(model)
