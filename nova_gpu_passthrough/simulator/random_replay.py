# SPDX-License-Identifier: Apache-2.0
"""Replay with tasks drawn at random, until a given share of all GPUs was requested.

Tasks are drawn with replacement, as in the FGD paper (USENIX ATC 2023, section 6). A task that fits
on no host is refused, and the next one is drawn.
"""

import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.simulator.outcome import Outcome
from nova_gpu_passthrough.simulator.ranker import Ranker, SimulatedHost
from nova_gpu_passthrough.simulator.simulation_run import SimulationRun
from nova_gpu_passthrough.simulator.trace import Trace

#: % of GPUs requested at which the share of allocated GPUs is recorded.
MARKS = tuple(range(50, 131, 10))
#: Maximum number of drawn tasks: a trace may request hardly any GPUs.
_MOST_TASKS = 1_000_000


def draw(trace: Trace, seed: int) -> Iterator[RequestClass]:
    """Yield random tasks without end, the same for every ranker."""
    rng = random.Random(f"tasks {seed}")
    classes = [task.request_class for task in trace.tasks]
    weights = list(itertools.accumulate(task.weight for task in trace.tasks))
    while True:
        yield from rng.choices(classes, cum_weights=weights, k=256)


def run(
    fleet: Sequence[SimulatedHost],
    trace: Trace,
    ranker: Ranker,
    mix: Mapping[RequestClass, float],
    seed: int,
    requested: float,
    progress: Callable[[float], None] | None = None,
) -> Outcome:
    """Place tasks until ``requested`` % of all GPUs and all of `MARKS` were requested.

    :param mix: the mix of requests that the ranker expects
    :param progress: is called at each mark with the % of GPUs that were requested
    :raises UserError: if no task or no host has GPUs
    """
    simulation = SimulationRun(fleet, ranker, mix, seed)
    course: dict[float, float] = {}
    marks = sorted({*map(float, MARKS), float(requested)})
    requested_gpus = 0
    outcome: Outcome | None = None
    for number, request_class in enumerate(draw(trace, seed)):
        requested_gpus += request_class.gpus
        simulation.request(request_class)
        while marks and 100 * requested_gpus >= marks[0] * simulation.total_gpus:
            mark = marks.pop(0)
            course[mark] = simulation.percent
            if mark == requested:
                outcome = simulation.outcome(course)
            if progress:
                progress(mark)
        if not marks:
            break
        if number >= _MOST_TASKS:
            percent = 100 * requested_gpus / simulation.total_gpus
            raise UserError(
                f"after {number} tasks only {percent:.2g} % of the "
                "GPUs were requested; use tasks with more GPUs or a smaller fleet"
            )
    assert outcome is not None
    return outcome
