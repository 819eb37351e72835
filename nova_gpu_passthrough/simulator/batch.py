# SPDX-License-Identifier: Apache-2.0
"""Run several rankers with several seeds, in one process or in parallel ones."""

import functools
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.simulator import fill_replay, random_replay, registry, timed_replay
from nova_gpu_passthrough.simulator.fill_replay import FillOutcome
from nova_gpu_passthrough.simulator.outcome import Outcome
from nova_gpu_passthrough.simulator.ranker import SimulatedHost
from nova_gpu_passthrough.simulator.trace import Trace


@dataclass(frozen=True)
class SimulationInput:
    """The input of replays that does not depend on ranker and seed."""

    fleet: Sequence[SimulatedHost]
    trace: Trace
    #: The mix of requests that rankers expect.
    mix: Mapping[RequestClass, float]
    #: % of the GPUs that are requested when results are taken.
    requested: float = 100.0
    #: Whether tasks start and end at the times of the trace.
    times: bool = False


def replay(simulation: SimulationInput, name: str, seed: int) -> Outcome:
    """Replay the tasks once with a ranker."""
    ranker = registry.load(name)
    fleet, trace, mix = simulation.fleet, simulation.trace, simulation.mix
    if simulation.times:
        return timed_replay.run(fleet, trace, ranker, mix, seed)
    return random_replay.run(fleet, trace, ranker, mix, seed, simulation.requested)


def fill(simulation: SimulationInput, name: str, seed: int) -> FillOutcome:
    """Fill the fleet once with a ranker, until servers are refused."""
    ranker = registry.load(name)
    return fill_replay.run(simulation.fleet, simulation.trace, ranker, simulation.mix, seed)


def run_all(
    work: Callable[[SimulationInput, str, int], Any],
    simulation: SimulationInput,
    names: Sequence[str],
    seeds: int,
    jobs: int = 1,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, list[Any]]:
    """Run each ranker with the seeds 0, 1 and so on, and return the results in this order.

    :param work: `replay` or `fill`
    :param jobs: number of processes; 1: the current one only
    :param progress: is called with the name of a ranker, the number of its finished runs, and the
        number of all its runs
    :raises UserError: if a ranker is not known, or there is nothing to simulate
    """
    for name in names:
        # Fail at once, not after an hour.
        registry.load(name)
    runs = [(name, seed) for name in names for seed in range(seeds)]
    results: dict[str, dict[int, Any]] = {name: {} for name in names}
    for name, seed, result in _run(work, simulation, runs, min(jobs, len(runs))):
        results[name][seed] = result
        if progress:
            progress(name, len(results[name]), seeds)
    return {name: [by_seed[seed] for seed in range(seeds)] for name, by_seed in results.items()}


def _run(
    work: Callable[[SimulationInput, str, int], Any],
    simulation: SimulationInput,
    runs: Sequence[tuple[str, int]],
    jobs: int,
) -> Iterator[tuple[str, int, Any]]:
    if jobs < 2:
        for name, seed in runs:
            yield name, seed, work(simulation, name, seed)
        return
    with multiprocessing.Pool(jobs, _initialize, (simulation,)) as pool:
        yield from pool.imap_unordered(functools.partial(_run_one, work), runs)


_simulation: SimulationInput | None = None


def _initialize(simulation: SimulationInput) -> None:
    """Initialize a process: keep the shared input; Ctrl-C is handled by the parent process."""
    global _simulation
    _simulation = simulation
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run_one(
    work: Callable[[SimulationInput, str, int], Any], name_and_seed: tuple[str, int]
) -> tuple[str, int, Any]:
    assert _simulation is not None
    name, seed = name_and_seed
    return name, seed, work(_simulation, name, seed)
