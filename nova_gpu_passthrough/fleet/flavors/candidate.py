# SPDX-License-Identifier: Apache-2.0
"""From a draft to a flavor that some host can boot, or the reason why none can."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nova_gpu_passthrough.fleet.aliases import Alias, Key
from nova_gpu_passthrough.fleet.desired import Flavor
from nova_gpu_passthrough.fleet.flavors import address_space, feasibility, naming, shares, specs
from nova_gpu_passthrough.fleet.flavors.draft import Draft, page_size
from nova_gpu_passthrough.fleet.flavors.feasibility import Host
from nova_gpu_passthrough.fleet.model import FlavorRule, FleetFile
from nova_gpu_passthrough.fleet.notes import Note


@dataclass(frozen=True)
class Candidate:
    """A flavor, and what became of it."""

    flavor: Flavor
    #: Where in the fleet file it comes from.
    keys: tuple[str | int, ...]
    #: Hosts that can boot it.
    hosts: tuple[str, ...] = ()
    #: Why none can; empty for a flavor to be made.
    refused: str = ""
    notes: tuple[Note, ...] = ()
    #: None for a flavor that is written out.
    rule: FlavorRule | None = None
    draft: Draft | None = None


def of_draft(
    file: FleetFile,
    keys: tuple[str | int, ...],
    rule: FlavorRule,
    draft: Draft,
    hosts: Sequence[Host],
    known: Mapping[Key, Alias],
) -> Candidate:
    """What becomes of a draft.

    :param hosts: all that the rule is for
    """
    ram_mib = draft.ram_mib
    notes = []
    if rule.ram_mib_per_gpu is None and ram_mib:
        most = _most_mib(draft)
        if most < ram_mib:
            ram_mib = shares.rounded_mib(most // draft.cells) * draft.cells
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
    for_it = [host for host in hosts if host.layout.gpus(draft.alias)]
    refused = _unsized(draft, rule, for_it)
    answer = feasibility.Answer((), {})
    if not refused:
        enough = [h for h in for_it if len(h.layout.gpus(draft.alias)) >= draft.count]
        answer = feasibility.ask(flavor, enough, known)
        refused = "" if answer.hosts else str(answer)
    if answer.hosts and answer.reasons:
        notes.append(Note(None, f"not every host can boot {name}: {answer}"))
    return Candidate(flavor, keys, answer.hosts, refused, tuple(notes), rule, draft)


def of_fixed(
    file: FleetFile, number: int, hosts: Sequence[Host], known: Mapping[Key, Alias]
) -> Candidate:
    """What becomes of a flavor that is written out."""
    fixed = file.fixed_flavors[number]
    gpus = feasibility.gpus_asked(fixed.extra_specs, known)
    models = {alias.model for alias in gpus}
    flavor = Flavor(
        fixed.name,
        fixed.vcpus,
        fixed.ram_mib,
        fixed.disk_gib,
        specs.overridden(fixed.extra_specs, {}),
        None if fixed.public else naming.access(file, fixed.name),
        sum(gpus.values()),
        models.pop() if len(models) == 1 else None,
    )
    if not gpus:
        # Other hosts than the fleet's can boot it.
        answer = feasibility.ask(flavor, [], known)
        return Candidate(flavor, ("fixed_flavors", number, "name"), (), answer.invalid)
    answer = feasibility.ask(flavor, hosts, known)
    return Candidate(
        flavor,
        ("fixed_flavors", number, "name"),
        answer.hosts,
        "" if answer.hosts else str(answer),
    )


def _most_mib(draft: Draft) -> int:
    """The most memory with which a guest sees its GPUs, on all hosts where any guest does."""
    most = [
        address_space.most_ram_mib(
            layout.offer, layout.gpus(draft.alias), draft.count, draft.extra_specs
        )
        for layout in draft.layouts
    ]
    return min(filter(None, most), default=draft.ram_mib)


def _unsized(draft: Draft, rule: FlavorRule, hosts: Sequence[Host]) -> str:
    """Why there are no numbers for a flavor, or no host with so many GPUs; empty if there are."""
    alias = draft.alias
    if not draft.layouts:
        most = max(len(host.layout.gpus(alias)) for host in hosts)
        where = [h.layout.host for h in hosts if len(h.layout.gpus(alias)) == most]
        return f"{feasibility.named(where)} with {most} GPUs of {alias.model} have the most of all"
    pinned = rule.cpu_policy == specs.DEDICATED
    what = "pinning" if pinned else "sharing"
    nodes = [node for layout in draft.layouts for node in layout.nodes]
    names = feasibility.named([layout.host for layout in draft.layouts])
    if not any(node.vcpus(pinned) for node in nodes):
        return (
            f"{names}: there are no CPUs for {what}; the cores are not known or too few "
            "(host_cores tells how many the host keeps)"
        )
    most = max(sum(1 for node in layout.nodes if node.vcpus(pinned)) for layout in draft.layouts)
    if most < draft.cells:
        return (
            f"a server with {draft.cells} NUMA nodes needs CPUs for {what} on as many nodes of "
            f"the host; {names} have them on {most}"
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
        return f"{names}: the CPUs of a NUMA node are too few to give each of its GPUs one"
    if not draft.ram_mib:
        return f"{names}: the memory of a NUMA node is too little to share it among its GPUs"
    return ""
