# SPDX-License-Identifier: Apache-2.0
"""How many servers a fleet takes until one is refused, and whose servers that are."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.simulator import drawing
from nova_gpu_passthrough.simulator.placing import Placing
from nova_gpu_passthrough.simulator.ranker import Ranker, SimHost
from nova_gpu_passthrough.simulator.trace import Trace

#: % of all GPUs asked for after which no more is found out.
_ENOUGH = 300
_MOST_TASKS = 1_000_000


@dataclass(frozen=True)
class Filling:
    """What became of a fleet with one seed."""

    seed: int
    #: Servers before the first refusal, and % of GPUs allocated then.
    servers: int
    allocated_percent: float
    #: Whose server was the first to be refused; None: none was.
    starved: str | None
    #: For each flavor that was refused at all, how many servers of it were started before.
    before_refusal: Mapping[str, int] = field(default_factory=dict)


def run(
    fleet: Sequence[SimHost],
    trace: Trace,
    ranker: Ranker,
    mix: Mapping[RequestClass, float],
    seed: int,
) -> Filling:
    """Place tasks that are drawn until one of each class was refused.

    :raises UserError: if no task or no host has GPUs
    """
    placing = Placing(fleet, ranker, mix, seed)
    classes = {task.wanted for task in trace.tasks}
    started: Counter[RequestClass] = Counter()
    refused: dict[RequestClass, int] = {}
    first: tuple[int, float, str] | None = None
    asked_gpus = 0
    for number, wanted in enumerate(drawing.draw(trace, seed)):
        asked_gpus += wanted.gpus
        if placing.ask(wanted) is not None:
            started[wanted] += 1
        else:
            refused.setdefault(wanted, started[wanted])
            first = first or (placing.placed, placing.percent, wanted.name)
        if (
            len(refused) == len(classes)
            or 100 * asked_gpus >= _ENOUGH * placing.total_gpus
            or number >= _MOST_TASKS
        ):
            break
    servers, percent, name = first or (placing.placed, placing.percent, None)
    return Filling(
        seed, servers, percent, name, {wanted.name: count for wanted, count in refused.items()}
    )
