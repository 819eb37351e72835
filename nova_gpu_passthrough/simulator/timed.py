# SPDX-License-Identifier: Apache-2.0
"""Replays tasks at the times of their trace; they leave again, and wait where there is no room.

Who waits does not hold up others: whenever a server leaves, all that wait are tried in the order in
which they came, and each that fits starts. A task runs as long as in the trace, from its start on.
"""

import heapq
import itertools
import math
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.simulator.holding import Held, HeldHost
from nova_gpu_passthrough.simulator.outcome import Outcome, Waiting
from nova_gpu_passthrough.simulator.placing import Placing
from nova_gpu_passthrough.simulator.ranker import Ranker, SimHost
from nova_gpu_passthrough.simulator.trace import Task, Trace

#: In how many steps the course is noted.
_STEPS = 20


class _Leaving(NamedTuple):
    when: float
    #: Tells equal times apart.
    number: int
    host: int
    held: Held


def load(trace: Trace, gpus: int) -> float:
    """Mean % of so many GPUs that the tasks would use if none had to wait."""
    times = [task.arrival or 0.0 for task in trace.tasks]
    span = max(times, default=0.0) - min(times, default=0.0)
    used = sum(task.wanted.gpus * min(task.duration or span, span) for task in trace.tasks)
    return 100.0 * used / (span * gpus) if span and gpus else 0.0


def run(
    fleet: Sequence[SimHost],
    trace: Trace,
    ranker: Ranker,
    mix: Mapping[RequestClass, float],
    seed: int,
    tell: Callable[[float], None] | None = None,
) -> Outcome:
    """Replay a trace once.

    Allocated and unallocated GPUs are the mean from the first arrival to the last, stranded ones
    those at the last. Refused is who was never started, after all others were gone.

    :param seed: 0 replays the trace as it is; another gives the arrival times to other tasks
    :param tell: is told what % of the tasks have come
    :raises UserError: if no task or no host has GPUs, or a task has no time
    """
    if not trace.has_times:
        raise UserError("the trace does not tell for each task when it comes; leave out --times")
    replay = _Replay(Placing(fleet, ranker, mix, seed), fleet)
    tasks = _shuffled(trace.tasks, seed)
    begin, end = tasks[0].arrival or 0.0, tasks[-1].arrival or 0.0
    steps = [begin + (end - begin) * step / _STEPS for step in range(1, _STEPS + 1)]
    course: dict[float, float] = {}
    for number, task in enumerate(tasks, 1):
        now = task.arrival or 0.0
        while steps and steps[0] <= now and number < len(tasks):
            replay.go_on(steps[0])
            course[steps.pop(0) - begin] = replay.placing.percent
            if tell:
                tell(100.0 * number / len(tasks))
        replay.go_on(now)
        replay.come(task)
    course[end - begin] = replay.placing.percent
    outcome = replay.placing.outcome(course)
    mean = replay.gpu_seconds / (end - begin) if end > begin else replay.placing.allocated
    replay.go_on(math.inf)
    never = list(replay.waiting)
    by_size = {
        size: sum(1 for one in never if one.wanted.gpus == size)
        for size in sorted({one.wanted.gpus for one in never})
    }
    if tell:
        tell(100.0)
    return replace(
        outcome,
        asked=len(tasks),
        placed=len(tasks) - len(never),
        allocated_percent=100.0 * mean / outcome.total_gpus,
        unallocated_gpus=outcome.total_gpus - mean,
        refused=len(never),
        refused_by_size=by_size,
        waiting=_waiting(replay.waits, len(never)),
    )


class _Replay:
    def __init__(self, placing: Placing, fleet: Sequence[SimHost]) -> None:
        self.placing = placing
        self.waiting: list[Task] = []
        #: How long those waited that were started.
        self.waits: list[float] = []
        #: GPUs that were allocated, times how long.
        self.gpu_seconds = 0.0
        self._hosts = [HeldHost(host.state) for host in fleet]
        self._leaving: list[_Leaving] = []
        self._numbers = itertools.count()
        self._now: float | None = None

    def go_on(self, until: float) -> None:
        """Let servers leave that end until then, and others start in their place."""
        while self._leaving and self._leaving[0].when <= until:
            when = self._leaving[0].when
            self._pass(when)
            while self._leaving and self._leaving[0].when == when:
                _, _, host, held = heapq.heappop(self._leaving)
                self.placing.release(held.wanted, host, self._hosts[host].give_back(held))
            self._start_waiting(when)
        if math.isfinite(until):
            self._pass(until)

    def come(self, task: Task) -> None:
        """Start a task now, or let it wait."""
        self.placing.asked += 1
        if not self._start(task, task.arrival or 0.0):
            self.waiting.append(task)

    def _pass(self, when: float) -> None:
        if self._now is not None:
            self.gpu_seconds += self.placing.allocated * (when - self._now)
        self._now = when

    def _start_waiting(self, now: float) -> None:
        lost: set[RequestClass] = set()
        left = []
        for task in self.waiting:
            if task.wanted in lost or not self._start(task, now):
                lost.add(task.wanted)
                left.append(task)
        self.waiting = left

    def _start(self, task: Task, now: float) -> bool:
        found = self.placing.place(task.wanted)
        if found is None:
            return False
        host, after = found
        held = self._hosts[host].take(task.wanted, after)
        self.waits.append(now - (task.arrival or 0.0))
        if task.duration is not None:
            leaving = _Leaving(now + task.duration, next(self._numbers), host, held)
            heapq.heappush(self._leaving, leaving)
        return True


def _shuffled(tasks: Sequence[Task], seed: int) -> list[Task]:
    """In the order of arrival."""
    order = sorted(tasks, key=lambda task: task.arrival or 0.0)
    if not seed:
        return order
    mixed = list(order)
    random.Random(f"times {seed}").shuffle(mixed)
    return [task._replace(arrival=other.arrival) for task, other in zip(mixed, order, strict=True)]


def _waiting(waits: Sequence[float], never: int) -> Waiting:
    order = sorted(waits)
    return Waiting(
        statistics.fmean(order) if order else 0.0,
        order[math.ceil(0.95 * len(order)) - 1] if order else 0.0,
        order[-1] if order else 0.0,
        sum(1 for wait in order if wait > 0),
        never,
    )
