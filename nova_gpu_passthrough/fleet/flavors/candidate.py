# SPDX-License-Identifier: Apache-2.0
"""Candidates: flavors with the hosts that can boot them, or the reason for which none can."""

from collections.abc import Sequence
from dataclasses import dataclass

from nova_gpu_passthrough.fleet.aliases import AliasMap
from nova_gpu_passthrough.fleet.desired_state import Flavor
from nova_gpu_passthrough.fleet.flavors import feasibility, naming, shares, specs
from nova_gpu_passthrough.fleet.flavors.draft import FlavorDraft, page_size
from nova_gpu_passthrough.fleet.flavors.empty_host import EmptyHost
from nova_gpu_passthrough.fleet.flavors.feasibility import Feasibility
from nova_gpu_passthrough.fleet.model import FlavorRule, FleetFile
from nova_gpu_passthrough.fleet.offers import Note


@dataclass(frozen=True)
class FlavorCandidate:
    """A flavor, and whether it can be created."""

    flavor: Flavor
    #: The key in the fleet file that the flavor comes from.
    keys: tuple[str | int, ...]
    #: Hosts that can boot it.
    hosts: tuple[str, ...] = ()
    #: Why no host can boot it; empty for a flavor that can be created.
    refusal: str = ""
    notes: tuple[Note, ...] = ()
    #: None for a fixed flavor.
    rule: FlavorRule | None = None
    draft: FlavorDraft | None = None


def from_draft(
    file: FleetFile,
    keys: tuple[str | int, ...],
    rule: FlavorRule,
    draft: FlavorDraft,
    hosts: Sequence[EmptyHost],
    aliases: AliasMap,
) -> FlavorCandidate:
    """Make the candidate of a draft.

    :param hosts: all hosts that the rule applies to
    """
    ram_mib = draft.ram_mib
    notes = []
    if rule.ram_mib_per_gpu is None and ram_mib:
        most = _max_ram_mib(draft)
        if most < ram_mib:
            ram_mib = shares.round_mib(most // draft.cells) * draft.cells
    name = naming.name(rule, draft, ram_mib)
    if 0 < ram_mib < draft.ram_mib:
        notes.append(
            Note(
                None,
                f"{name} has {ram_mib} MiB of memory instead of {draft.ram_mib} MiB: with more, "
                f"the address space of a guest does not hold the BARs of {draft.count} GPUs",
            )
        )
    flavor = Flavor(
        name,
        draft.vcpus,
        ram_mib,
        rule.disk_gib,
        dict(draft.extra_specs),
        None if rule.public else naming.access(file, name),
        draft.count,
        draft.alias.model,
    )
    with_alias = [host for host in hosts if host.layout.gpus(draft.alias)]
    refusal = _missing_size(draft, rule, with_alias)
    feasible = Feasibility((), {})
    if not refusal:
        enough = [h for h in with_alias if len(h.layout.gpus(draft.alias)) >= draft.count]
        feasible = feasibility.check(flavor, enough, aliases)
        refusal = "" if feasible.hosts else str(feasible)
    if feasible.hosts and feasible.reasons:
        notes.append(Note(None, f"not every host can boot {name}: {feasible}"))
    return FlavorCandidate(flavor, keys, feasible.hosts, refusal, tuple(notes), rule, draft)


def from_fixed_flavor(
    file: FleetFile, number: int, hosts: Sequence[EmptyHost], aliases: AliasMap
) -> FlavorCandidate:
    """Make the candidate of a fixed flavor.

    :param number: the index of the flavor in the fleet file
    """
    fixed = file.fixed_flavors[number]
    gpus = feasibility.requested_gpus(fixed.extra_specs, aliases)
    models = {alias.model for alias in gpus}
    flavor = Flavor(
        fixed.name,
        fixed.vcpus,
        fixed.ram_mib,
        fixed.disk_gib,
        specs.override(fixed.extra_specs, {}),
        None if fixed.public else naming.access(file, fixed.name),
        sum(gpus.values()),
        models.pop() if len(models) == 1 else None,
    )
    keys = ("fixed_flavors", number, "name")
    if not gpus:
        # Hosts outside the fleet may be able to boot it.
        return FlavorCandidate(flavor, keys, (), feasibility.check(flavor, [], aliases).invalid)
    feasible = feasibility.check(flavor, hosts, aliases)
    refusal = "" if feasible.hosts else str(feasible)
    return FlavorCandidate(flavor, keys, feasible.hosts, refusal)


def _max_ram_mib(draft: FlavorDraft) -> int:
    """Return the most memory of a guest that gets its GPUs on every host where they can be used."""
    most = [
        layout.max_guest_ram_mib(draft.alias, draft.count, draft.extra_specs)
        for layout in draft.layouts
    ]
    return min(filter(None, most), default=draft.ram_mib)


def _missing_size(draft: FlavorDraft, rule: FlavorRule, hosts: Sequence[EmptyHost]) -> str:
    """Return why a draft has no size, or why no host has its GPUs; an empty string if it has both.

    :param hosts: hosts that have GPUs of the alias
    """
    alias = draft.alias
    if not draft.layouts:
        most = max(len(host.layout.gpus(alias)) for host in hosts)
        largest = [h.layout.host for h in hosts if len(h.layout.gpus(alias)) == most]
        names = feasibility.join_hosts(largest)
        return f"no host has {draft.count} GPUs of {alias.model}; the most is {most}, on {names}"
    pinned = rule.cpu_policy == specs.DEDICATED
    cpu_use = "pinned" if pinned else "shared"
    nodes = [node for layout in draft.layouts for node in layout.nodes]
    names = feasibility.join_hosts([layout.host for layout in draft.layouts])
    if not any(node.vcpus(pinned) for node in nodes):
        return (
            f"{names}: there are no CPUs for {cpu_use} vCPUs; the cores are unknown or too few "
            "(host_cores sets how many the host keeps)"
        )
    most = max(sum(1 for node in layout.nodes if node.vcpus(pinned)) for layout in draft.layouts)
    if most < draft.cells:
        return (
            f"a server with {draft.cells} NUMA nodes needs CPUs for {cpu_use} vCPUs on as many "
            f"nodes of the host; {names} have them on {most}"
        )
    size = draft.extra_specs.get(specs.PAGE_SIZE, "small")
    if not draft.ram_mib and not any(node.ram_mib(page_size(size)) for node in nodes):
        return f"{names}: there is no memory for servers in pages of size {size}"
    if not draft.vcpus and not draft.shares:
        return (
            f"{names}: no {draft.cells} NUMA nodes with CPUs and memory have {draft.count} GPUs of "
            f"{alias.model}"
        )
    if not draft.vcpus:
        return f"{names}: a NUMA node has too few CPUs to give each of its GPUs one"
    if not draft.ram_mib:
        return f"{names}: a NUMA node has too little memory to share it among its GPUs"
    return ""
