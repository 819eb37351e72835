# SPDX-License-Identifier: Apache-2.0
"""Many runs, one after the other or side by side."""

import functools
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.simulator import drawing, ranker, timed, what_if
from nova_gpu_passthrough.simulator.outcome import Outcome
from nova_gpu_passthrough.simulator.ranker import SimHost
from nova_gpu_passthrough.simulator.trace import Trace
from nova_gpu_passthrough.simulator.what_if import Filling


@dataclass(frozen=True)
class Scenario:
    """What is simulated, but for ranker and seed."""

    fleet: Sequence[SimHost]
    trace: Trace
    #: What rankers believe will be asked for.
    mix: Mapping[RequestClass, float]
    #: % of the GPUs that is asked for when results are taken.
    requested: float = 100.0
    #: Whether tasks come and go at the times of the trace.
    times: bool = False


def replay(scenario: Scenario, name: str, seed: int) -> Outcome:
    """One run."""
    made = ranker.load(name)
    fleet, trace, mix = scenario.fleet, scenario.trace, scenario.mix
    if scenario.times:
        return timed.run(fleet, trace, made, mix, seed)
    return drawing.run(fleet, trace, made, mix, seed, scenario.requested)


def fill(scenario: Scenario, name: str, seed: int) -> Filling:
    """One run until servers are refused."""
    return what_if.run(scenario.fleet, scenario.trace, ranker.load(name), scenario.mix, seed)


def many(
    work: Callable[[Scenario, str, int], Any],
    scenario: Scenario,
    names: Sequence[str],
    seeds: int,
    jobs: int = 1,
    tell: Callable[[str, int, int], None] | None = None,
) -> dict[str, list[Any]]:
    """Runs of each ranker with seeds 0, 1 and so on, in this order.

    :param work: `replay` or `fill`
    :param jobs: how many processes; 1: all in this one
    :param tell: is told a ranker's name, how many of its runs are done, and of how many
    :raises UserError: if a ranker is not known, or there is nothing to simulate
    """
    for name in names:
        # At once, not after an hour.
        ranker.load(name)
    todo = [(name, seed) for name in names for seed in range(seeds)]
    found: dict[str, dict[int, Any]] = {name: {} for name in names}
    for name, seed, result in _done(work, scenario, todo, min(jobs, len(todo))):
        found[name][seed] = result
        if tell:
            tell(name, len(found[name]), seeds)
    return {name: [results[seed] for seed in range(seeds)] for name, results in found.items()}


def _done(
    work: Callable[[Scenario, str, int], Any],
    scenario: Scenario,
    todo: Sequence[tuple[str, int]],
    jobs: int,
) -> Iterator[tuple[str, int, Any]]:
    if jobs < 2:
        for name, seed in todo:
            yield name, seed, work(scenario, name, seed)
        return
    with multiprocessing.Pool(jobs, _prepare, (scenario,)) as pool:
        yield from pool.imap_unordered(functools.partial(_one, work), todo)


_scenario: Scenario | None = None


def _prepare(scenario: Scenario) -> None:
    """In a new process: keep what all runs share; Ctrl-C is for the first process."""
    global _scenario
    _scenario = scenario
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _one(work: Callable[[Scenario, str, int], Any], what: tuple[str, int]) -> tuple[str, int, Any]:
    assert _scenario is not None
    name, seed = what
    return name, seed, work(_scenario, name, seed)
