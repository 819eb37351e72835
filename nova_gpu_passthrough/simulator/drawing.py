# SPDX-License-Identifier: Apache-2.0
"""Draws tasks and places them, until a part of all GPUs was asked for.

Tasks are drawn with replacement, as in the FGD paper (USENIX ATC 2023, section 6). A task for which
there is no host is refused and gone; the next one is drawn.
"""

import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.simulator.outcome import Outcome
from nova_gpu_passthrough.simulator.placing import Placing
from nova_gpu_passthrough.simulator.ranker import Ranker, SimHost
from nova_gpu_passthrough.simulator.trace import Trace

#: % of GPUs requested at which it is noted how many are allocated.
MARKS = tuple(range(50, 131, 10))
#: After how many drawn tasks a trace is given up that asks for hardly any GPU.
_ENDLESS = 1_000_000


def draw(trace: Trace, seed: int) -> Iterator[RequestClass]:
    """Tasks without end; the same for every ranker."""
    rng = random.Random(f"tasks {seed}")
    classes = [task.wanted for task in trace.tasks]
    weights = list(itertools.accumulate(task.weight for task in trace.tasks))
    while True:
        yield from rng.choices(classes, cum_weights=weights, k=256)


def run(
    fleet: Sequence[SimHost],
    trace: Trace,
    ranker: Ranker,
    mix: Mapping[RequestClass, float],
    seed: int,
    requested: float,
    tell: Callable[[float], None] | None = None,
) -> Outcome:
    """Place tasks until ``requested`` % of all GPUs were asked for, and all of `MARKS`.

    :param mix: what the ranker believes will be asked for
    :param tell: is told what % were asked for, at the marks
    :raises UserError: if no task or no host has GPUs
    """
    placing = Placing(fleet, ranker, mix, seed)
    course: dict[float, float] = {}
    todo = sorted({*map(float, MARKS), float(requested)})
    asked_gpus = 0
    outcome: Outcome | None = None
    for number, wanted in enumerate(draw(trace, seed)):
        asked_gpus += wanted.gpus
        placing.ask(wanted)
        while todo and 100 * asked_gpus >= todo[0] * placing.total_gpus:
            mark = todo.pop(0)
            course[mark] = placing.percent
            if mark == requested:
                outcome = placing.outcome(course)
            if tell:
                tell(mark)
        if not todo:
            break
        if number >= _ENDLESS:
            raise UserError(
                f"after {number} tasks only {100 * asked_gpus / placing.total_gpus:.2g} % of the "
                "GPUs were asked for; use tasks with more GPUs or a smaller fleet"
            )
    assert outcome is not None
    return outcome
