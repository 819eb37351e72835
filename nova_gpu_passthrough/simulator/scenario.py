# SPDX-License-Identifier: Apache-2.0
"""Build the input of a simulation from files and options, with notes for the user."""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.packing.host_state import HostState
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.policies import mix as mixes
from nova_gpu_passthrough.simulator import (
    added_hosts,
    assumed_topology,
    flavor_specs,
    fleet_hosts,
    openb,
    timed_replay,
)
from nova_gpu_passthrough.simulator import trace as traces
from nova_gpu_passthrough.simulator.assumed_topology import GuestNuma, HostTopology
from nova_gpu_passthrough.simulator.batch import SimulationInput
from nova_gpu_passthrough.simulator.openb import Shares
from nova_gpu_passthrough.simulator.ranker import SimulatedHost
from nova_gpu_passthrough.simulator.trace import Trace

if TYPE_CHECKING:
    from nova_gpu_passthrough.fleet.resolve import ResolvedFleet


@dataclass(frozen=True)
class ScenarioSources:
    """Where hosts and tasks come from; see `load` for the valid combinations."""

    nodes: Path | None = None
    inventories: Sequence[Path] = ()
    fleet: "ResolvedFleet | None" = None
    tasks: Path | None = None
    mix: Path | None = None
    flavors: Sequence[str] = ()
    add: Sequence[str] = ()
    #: Number of hosts to use; None: all.
    hosts: int | None = None
    shares: Shares = Shares.DROP
    numa: GuestNuma = GuestNuma.NONE
    topology: HostTopology = HostTopology.RULE
    requested: float = 100.0
    times: bool = False


@dataclass(frozen=True)
class Scenario:
    """What to simulate, with and without added hosts, and notes for the user."""

    simulation: SimulationInput
    with_added_hosts: SimulationInput | None = None
    notes: Sequence[str] = field(default_factory=list)


def load(sources: ScenarioSources) -> Scenario:
    """Read all files and options.

    Hosts come from one of nodes, inventories and fleet. Tasks come from tasks, flavors, the mix, or
    the flavors of a fleet, each requested as often as the others. A mix given along with tasks is
    the one that rankers expect.

    :raises UserError: if a file is invalid, or the combination of sources is
    """
    notes: list[str] = []
    hosts, resolved = _hosts(sources)
    if sources.nodes:
        notes.append(f"rule: {assumed_topology.RULES[sources.topology]}")
    hosts = _sample(hosts, sources.hosts, notes)
    trace = _trace(sources, hosts, resolved, notes)
    mix = mixes.load(sources.mix) if sources.mix and sources.tasks else None
    added: list[SimulatedHost] = []
    if sources.add:
        pinned = any(task.request_class.pinned_cpus for task in trace.tasks)
        added = added_hosts.hosts(sources.add, hosts, pinned)
    return _in_equal_units(sources, hosts, added, trace, mix, notes)


def _hosts(sources: ScenarioSources) -> "tuple[list[SimulatedHost], ResolvedFleet | None]":
    # The environment may name a fleet file: options of the command line take precedence.
    if sources.nodes and sources.inventories:
        raise UserError("--nodes and --inventory both give hosts: give one of them")
    if sources.nodes:
        return openb.read_nodes(sources.nodes, sources.topology), None
    resolved = (
        fleet_hosts.of_inventories(sources.inventories) if sources.inventories else sources.fleet
    )
    if resolved is None:
        raise UserError("no hosts were given: give --nodes FILE, --fleet FILE or --inventory FILE")
    return fleet_hosts.hosts(resolved), resolved


def _sample(hosts: list[SimulatedHost], count: int | None, notes: list[str]) -> list[SimulatedHost]:
    if count is None or count >= len(hosts):
        return hosts
    notes.append(f"{count} of {len(hosts)} hosts, evenly spaced in their list (--hosts)")
    return [hosts[number * len(hosts) // count] for number in range(count)]


def _trace(
    sources: ScenarioSources,
    hosts: list[SimulatedHost],
    resolved: "ResolvedFleet | None",
    notes: list[str],
) -> Trace:
    if sources.tasks and sources.flavors:
        raise UserError("--tasks and --flavor both give the requests: give one of them")
    if sources.tasks:
        if sources.tasks.suffix.lower() in (".yaml", ".yml"):
            return traces.load(sources.tasks)
        trace, conversion = openb.read_tasks(sources.tasks, sources.shares, sources.numa, hosts)
        notes += [*conversion, f"rule: {assumed_topology.NUMA_RULES[sources.numa]}"]
        return trace
    classes = functools.cache(lambda: fleet_hosts.classes(resolved) if resolved else {})
    if sources.flavors:
        return flavor_specs.trace(sources.flavors, classes())
    if sources.mix:
        return traces.of_mix(mixes.load(sources.mix))
    with_gpus = {request_class: 1.0 for request_class in classes().values() if request_class.gpus}
    if not with_gpus:
        raise UserError("no requests were given: give --tasks FILE, --mix FILE or --flavor NAME")
    notes.append("each flavor of the fleet is requested as often as the others")
    return traces.of_mix(with_gpus)


def _in_equal_units(
    sources: ScenarioSources,
    hosts: list[SimulatedHost],
    added: list[SimulatedHost],
    trace: Trace,
    mix: Mapping[RequestClass, float] | None,
    notes: list[str],
) -> Scenario:
    """Return the scenario with all vCPUs in the same units."""
    units = math.lcm(trace.units_per_vcpu, *(host.units_per_vcpu for host in hosts))
    hosts = hosts_in_units(hosts, units)
    trace = trace_in_units(trace, units)
    if mix is None:
        mix = trace.mix()
    else:
        mix = {_class_in_units(one, units): count for one, count in mix.items()}
    if sources.times:
        gpus = sum(host.gpus for host in hosts)
        load_percent = timed_replay.load(trace, gpus)
        notes.append(f"the tasks request {load_percent:.3g} % of the GPUs on average")
    simulation = SimulationInput(hosts, trace, mix, sources.requested, sources.times)
    with_added_hosts = None
    if added:
        fleet = [*hosts, *hosts_in_units(added, units)]
        with_added_hosts = dataclasses.replace(simulation, fleet=fleet)
    return Scenario(simulation, with_added_hosts, notes)


def hosts_in_units(hosts: Sequence[SimulatedHost], units: int) -> list[SimulatedHost]:
    """Return the hosts with so many units per vCPU, a multiple of what they have.

    Traces may count vCPUs in thousandths, while fleets count whole ones.
    """
    return [
        host
        if host.units_per_vcpu == units
        else host._replace(
            state=_state_in_units(host.state, units // host.units_per_vcpu),
            vcpus=host.vcpus * (units // host.units_per_vcpu),
            units_per_vcpu=units,
        )
        for host in hosts
    ]


def trace_in_units(trace: Trace, units: int) -> Trace:
    """Return the trace with so many units per vCPU, a multiple of what it has."""
    if trace.units_per_vcpu == units:
        return trace
    factor = units // trace.units_per_vcpu
    classes = {
        task.request_class: _class_in_units(task.request_class, factor) for task in trace.tasks
    }
    return Trace(
        [task._replace(request_class=classes[task.request_class]) for task in trace.tasks], units
    )


def _class_in_units(request_class: RequestClass, factor: int) -> RequestClass:
    return dataclasses.replace(
        request_class,
        vcpus=request_class.vcpus * factor,
        pinned_cpus=request_class.pinned_cpus * factor,
    )


def _state_in_units(state: HostState, factor: int) -> HostState:
    cells = tuple(
        cell._replace(shared_cpus=cell.shared_cpus * factor, pinned_cpus=cell.pinned_cpus * factor)
        for cell in state.cells
    )
    return state._replace(cells=cells, vcpus=state.vcpus * factor)
