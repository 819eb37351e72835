# SPDX-License-Identifier: Apache-2.0
"""What to simulate, from files and words, with what people must know of it."""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.policies import mix as mixes
from nova_gpu_passthrough.simulator import (
    additions,
    flavors,
    fleet_hosts,
    layout,
    openb,
    parts,
    timed,
    trace_file,
)
from nova_gpu_passthrough.simulator.layout import Numa, Topology
from nova_gpu_passthrough.simulator.openb import Shares
from nova_gpu_passthrough.simulator.ranker import SimHost
from nova_gpu_passthrough.simulator.runs import Scenario
from nova_gpu_passthrough.simulator.trace import Trace

if TYPE_CHECKING:
    from nova_gpu_passthrough.fleet.resolve import Resolved


@dataclass(frozen=True)
class Sources:
    """Where hosts and tasks come from; `make` says which go together."""

    nodes: Path | None = None
    inventories: Sequence[Path] = ()
    fleet: "Resolved | None" = None
    tasks: Path | None = None
    mix: Path | None = None
    flavors: Sequence[str] = ()
    add: Sequence[str] = ()
    #: How many of the hosts; None: all.
    hosts: int | None = None
    shares: Shares = Shares.DROP
    numa: Numa = Numa.NONE
    topology: Topology = Topology.RULE
    requested: float = 100.0
    times: bool = False


@dataclass(frozen=True)
class Made:
    """A scenario, the same with added hosts, and what people must know of them."""

    scenario: Scenario
    added: Scenario | None = None
    notes: Sequence[str] = field(default_factory=list)


def make(sources: Sources) -> Made:
    """Read all that is named.

    Hosts: one of nodes, inventories and fleet. Tasks: tasks, flavors, or the mix, and with a fleet
    its flavors, each as often as the others. A mix beside tasks is what rankers go by.

    :raises UserError: if a file is not what it should be, or something is missing or too much
    """
    notes: list[str] = []
    hosts, resolved = _hosts(sources)
    if sources.nodes:
        notes.append(f"rule: {layout.RULES[sources.topology]}")
    hosts = _sample(hosts, sources.hosts, notes)
    trace = _trace(sources, hosts, resolved, notes)
    mix = mixes.load(sources.mix) if sources.mix and sources.tasks else None
    added: list[SimHost] = []
    if sources.add:
        pinned = any(task.wanted.pinned_cpus for task in trace.tasks)
        added = additions.hosts(sources.add, hosts, pinned)
    return _scaled(sources, hosts, added, trace, mix, notes)


def _hosts(sources: Sources) -> "tuple[list[SimHost], Resolved | None]":
    # A fleet file may be named by the environment: what is on the command line counts more.
    if sources.nodes and sources.inventories:
        raise UserError("--nodes and --inventory both name hosts: give one")
    if sources.nodes:
        return openb.nodes(sources.nodes, sources.topology), None
    resolved = (
        fleet_hosts.of_inventories(sources.inventories) if sources.inventories else sources.fleet
    )
    if resolved is None:
        raise UserError("no hosts were named: give --nodes FILE, --fleet FILE or --inventory FILE")
    return fleet_hosts.hosts(resolved), resolved


def _sample(hosts: list[SimHost], count: int | None, notes: list[str]) -> list[SimHost]:
    if count is None or count >= len(hosts):
        return hosts
    chosen = [hosts[number * len(hosts) // count] for number in range(count)]
    notes.append(f"{count} of {len(hosts)} hosts, at even distances in their list (--hosts)")
    return chosen


def _trace(
    sources: Sources,
    hosts: list[SimHost],
    resolved: "Resolved | None",
    notes: list[str],
) -> Trace:
    if sources.tasks and sources.flavors:
        raise UserError("--tasks and --flavor both say what is asked for: give one")
    if sources.tasks:
        if sources.tasks.suffix.lower() in (".yaml", ".yml"):
            return trace_file.load(sources.tasks)
        trace, found = openb.tasks(sources.tasks, sources.shares, sources.numa, hosts)
        notes += [*found, f"rule: {layout.NUMA_RULES[sources.numa]}"]
        return trace
    known = functools.cache(lambda: fleet_hosts.classes(resolved) if resolved else {})
    if sources.flavors:
        return flavors.trace(sources.flavors, known())
    if sources.mix:
        return trace_file.of_mix(mixes.load(sources.mix))
    with_gpus = {wanted: 1.0 for wanted in known().values() if wanted.gpus}
    if not with_gpus:
        raise UserError(
            "nothing says what is asked for: give --tasks FILE, --mix FILE or --flavor NAME"
        )
    notes.append("each flavor of the fleet is asked for as often as the others")
    return trace_file.of_mix(with_gpus)


def _scaled(
    sources: Sources,
    hosts: list[SimHost],
    added: list[SimHost],
    trace: Trace,
    mix: Mapping[RequestClass, float] | None,
    notes: list[str],
) -> Made:
    """All vCPUs in the same parts."""
    whole = math.lcm(trace.vcpu_parts, *(host.vcpu_parts for host in hosts))
    hosts = parts.of_hosts(hosts, whole)
    trace = parts.of_trace(trace, whole)
    if mix is None:
        mix = trace.mix()
    else:
        mix = {parts.of_class(wanted, whole): count for wanted, count in mix.items()}
    if sources.times:
        gpus = sum(host.gpus for host in hosts)
        notes.append(f"the tasks ask for {timed.load(trace, gpus):.3g} % of the GPUs on average")
    scenario = Scenario(hosts, trace, mix, sources.requested, sources.times)
    more = None
    if added:
        more = dataclasses.replace(scenario, fleet=[*hosts, *parts.of_hosts(added, whole)])
    return Made(scenario, more, notes)
