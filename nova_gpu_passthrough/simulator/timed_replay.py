# SPDX-License-Identifier: Apache-2.0
"""Replay of tasks at the times of their trace: they end again, and wait while there is no room.

Waiting tasks do not block others: whenever a server ends, all waiting tasks are tried in the order
of their arrival, and each one that fits is started. A task runs as long as in the trace, counted
from its start.
"""

import heapq
import itertools
import math
import random
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.simulator.host_allocations import AllocatedHost, ServerAllocation
from nova_gpu_passthrough.simulator.outcome import Outcome, WaitTimes
from nova_gpu_passthrough.simulator.ranker import Ranker, SimulatedHost
from nova_gpu_passthrough.simulator.simulation_run import SimulationRun
from nova_gpu_passthrough.simulator.trace import Task, Trace

#: Number of steps of the course.
_STEPS = 20


class _ServerEnd(NamedTuple):
    time: float
    #: Orders ends at equal times.
    number: int
    host: int
    allocation: ServerAllocation


def load(trace: Trace, gpus: int) -> float:
    """Return the mean % of so many GPUs that the tasks would use if none had to wait."""
    times = [task.arrival or 0.0 for task in trace.tasks]
    span = max(times, default=0.0) - min(times, default=0.0)
    used = sum(task.request_class.gpus * min(task.duration or span, span) for task in trace.tasks)
    return 100.0 * used / (span * gpus) if span and gpus else 0.0


def run(
    fleet: Sequence[SimulatedHost],
    trace: Trace,
    ranker: Ranker,
    mix: Mapping[RequestClass, float],
    seed: int,
    progress: Callable[[float], None] | None = None,
) -> Outcome:
    """Replay a trace once.

    Allocated and unallocated GPUs are means from the first arrival to the last, stranded GPUs are
    counted at the last arrival. Refused are the tasks that were never started, even after all
    others had ended.

    :param seed: 0 replays the trace as it is; another one shuffles the arrival times of the tasks
    :param progress: is called with the % of tasks that have arrived
    :raises UserError: if no task or no host has GPUs, or a task has no time
    """
    if not trace.has_times:
        raise UserError("not all tasks of the trace have an arrival time; leave out --times")
    replay = _TimedReplay(SimulationRun(fleet, ranker, mix, seed), fleet)
    tasks = _shuffled(trace.tasks, seed)
    begin, end = tasks[0].arrival or 0.0, tasks[-1].arrival or 0.0
    steps = [begin + (end - begin) * step / _STEPS for step in range(1, _STEPS + 1)]
    course: dict[float, float] = {}
    for number, task in enumerate(tasks, 1):
        now = task.arrival or 0.0
        while steps and steps[0] <= now and number < len(tasks):
            replay.advance(steps[0])
            course[steps.pop(0) - begin] = replay.simulation.percent
            if progress:
                progress(100.0 * number / len(tasks))
        replay.advance(now)
        replay.arrive(task)
    course[end - begin] = replay.simulation.percent
    outcome = replay.simulation.outcome(course)
    mean = replay.gpu_seconds / (end - begin) if end > begin else replay.simulation.allocated
    replay.advance(math.inf)
    never = list(replay.waiting)
    sizes = Counter(task.request_class.gpus for task in never)
    if progress:
        progress(100.0)
    return replace(
        outcome,
        requested=len(tasks),
        placed=len(tasks) - len(never),
        allocated_percent=100.0 * mean / outcome.total_gpus,
        unallocated_gpus=outcome.total_gpus - mean,
        refused=len(never),
        refused_by_size=dict(sorted(sizes.items())),
        waiting=_wait_times(replay.waits, len(never)),
    )


class _TimedReplay:
    def __init__(self, simulation: SimulationRun, fleet: Sequence[SimulatedHost]) -> None:
        self.simulation = simulation
        self.waiting: list[Task] = []
        #: Wait times of the started tasks.
        self.waits: list[float] = []
        #: Allocated GPUs multiplied by time.
        self.gpu_seconds = 0.0
        self._hosts = [AllocatedHost(host.state) for host in fleet]
        self._ends: list[_ServerEnd] = []
        self._numbers = itertools.count()
        self._now: float | None = None

    def advance(self, until: float) -> None:
        """Advance the time: end servers, and start waiting ones in their place."""
        while self._ends and self._ends[0].time <= until:
            time = self._ends[0].time
            self._set_time(time)
            while self._ends and self._ends[0].time == time:
                _, _, host, allocation = heapq.heappop(self._ends)
                state = self._hosts[host].release(allocation)
                self.simulation.release(allocation.request_class, host, state)
            self._start_waiting(time)
        if math.isfinite(until):
            self._set_time(until)

    def arrive(self, task: Task) -> None:
        """Start a task now, or let it wait."""
        self.simulation.requested += 1
        if not self._start(task, task.arrival or 0.0):
            self.waiting.append(task)

    def _set_time(self, time: float) -> None:
        if self._now is not None:
            self.gpu_seconds += self.simulation.allocated * (time - self._now)
        self._now = time

    def _start_waiting(self, now: float) -> None:
        without_room: set[RequestClass] = set()
        waiting = []
        for task in self.waiting:
            if task.request_class in without_room or not self._start(task, now):
                without_room.add(task.request_class)
                waiting.append(task)
        self.waiting = waiting

    def _start(self, task: Task, now: float) -> bool:
        placed = self.simulation.place(task.request_class)
        if placed is None:
            return False
        host, after = placed
        allocation = self._hosts[host].allocate(task.request_class, after)
        self.waits.append(now - (task.arrival or 0.0))
        if task.duration is not None:
            end = _ServerEnd(now + task.duration, next(self._numbers), host, allocation)
            heapq.heappush(self._ends, end)
        return True


def _shuffled(tasks: Sequence[Task], seed: int) -> list[Task]:
    """Return the tasks in the order of arrival, with shuffled arrival times for seeds but 0."""
    order = sorted(tasks, key=lambda task: task.arrival or 0.0)
    if not seed:
        return order
    mixed = list(order)
    random.Random(f"times {seed}").shuffle(mixed)
    return [task._replace(arrival=other.arrival) for task, other in zip(mixed, order, strict=True)]


def _wait_times(waits: Sequence[float], never: int) -> WaitTimes:
    order = sorted(waits)
    return WaitTimes(
        statistics.fmean(order) if order else 0.0,
        order[math.ceil(0.95 * len(order)) - 1] if order else 0.0,
        order[-1] if order else 0.0,
        sum(1 for wait in order if wait > 0),
        never,
    )
