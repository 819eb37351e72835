# SPDX-License-Identifier: Apache-2.0
"""Replay until servers of every flavor were refused, to find how many servers fit on a fleet."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.simulator import random_replay
from nova_gpu_passthrough.simulator.ranker import Ranker, SimulatedHost
from nova_gpu_passthrough.simulator.simulation_run import SimulationRun
from nova_gpu_passthrough.simulator.trace import Trace

#: % of all GPUs requested after which a replay ends at the latest.
_MOST_REQUESTED = 300
_MOST_TASKS = 1_000_000


#: The default number of seeds. From seed to seed the number of servers differs by 36 to 58 %
#: (standard deviation), also on many hosts, so that the mean of 30 has an error of 7 to 11 %.
SEEDS = 30


@dataclass(frozen=True)
class FillOutcome:
    """Result of filling a fleet with one seed."""

    seed: int
    #: Number of servers before the first refusal, and % of GPUs allocated then.
    servers: int
    allocated_percent: float
    #: The flavor of the first refused server; None if no server was refused.
    starved: str | None
    #: For each refused flavor, the number of its servers that were started before.
    before_refusal: Mapping[str, int] = field(default_factory=dict)


def run(
    fleet: Sequence[SimulatedHost],
    trace: Trace,
    ranker: Ranker,
    mix: Mapping[RequestClass, float],
    seed: int,
) -> FillOutcome:
    """Place random tasks until one of each class was refused.

    :raises UserError: if no task or no host has GPUs
    """
    simulation = SimulationRun(fleet, ranker, mix, seed)
    classes = {task.request_class for task in trace.tasks}
    started: Counter[RequestClass] = Counter()
    refused: dict[RequestClass, int] = {}
    first: tuple[int, float, str] | None = None
    requested_gpus = 0
    for number, request_class in enumerate(random_replay.draw(trace, seed)):
        requested_gpus += request_class.gpus
        if simulation.request(request_class) is not None:
            started[request_class] += 1
        else:
            refused.setdefault(request_class, started[request_class])
            first = first or (simulation.placed, simulation.percent, request_class.name)
        if (
            len(refused) == len(classes)
            or 100 * requested_gpus >= _MOST_REQUESTED * simulation.total_gpus
            or number >= _MOST_TASKS
        ):
            break
    servers, percent, name = first or (simulation.placed, simulation.percent, None)
    return FillOutcome(
        seed,
        servers,
        percent,
        name,
        {request_class.name: count for request_class, count in refused.items()},
    )
