# SPDX-License-Identifier: Apache-2.0
"""Tasks arrive, wait, run and end."""

import pytest

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.packing.host_state import canonical
from nova_gpu_passthrough.simulator import timed_replay
from nova_gpu_passthrough.simulator.outcome import WaitTimes
from nova_gpu_passthrough.simulator.rankers.fragmentation import FragmentationRanker
from nova_gpu_passthrough.simulator.trace import Task, Trace
from tests.unit.packing.host_states import cell, host, request_class
from tests.unit.simulator.fleets import EIGHT, ONE, fleet, pack, plain


def task(some, arrival, duration=None):
    return Task(some, 1.0, arrival, duration)


def run(*tasks, hosts=None, seed=0, ranker=None):
    trace = Trace(tasks)
    return timed_replay.run(hosts or fleet(plain(8)), trace, ranker or pack(), trace.mix(), seed)


def test_a_task_without_room_waits_until_another_ends():
    outcome = run(task(EIGHT, 0, 100), task(EIGHT, 40, 100), task(ONE, 60, 10), task(ONE, 400, 5))
    # The second waits for 60 s, the third waits for it for 140 s.
    assert outcome.waiting == WaitTimes(50.0, 140.0, 140.0, 2, 0)
    assert (outcome.requested, outcome.placed, outcome.refused) == (4, 4, 0)
    # 8 GPUs for 200 s and one for 10 s, of 400.
    assert outcome.allocated_percent == pytest.approx(100 * (8 * 200 + 10) / (8 * 400))
    assert outcome.unallocated_gpus == pytest.approx(8 - (8 * 200 + 10) / 400)


def test_a_waiting_task_does_not_block_others():
    outcome = run(task(ONE, 0, 100), task(EIGHT, 10, 10), task(ONE, 20, 10))
    assert (outcome.waiting.waited, outcome.waiting.longest) == (1, 90)


def test_waiting_tasks_are_tried_in_the_order_of_arrival():
    four = request_class(4, vcpus=16, ram_mib=160)
    outcome = run(task(EIGHT, 0, 100), task(EIGHT, 1, 50), task(four, 2, 10), task(ONE, 3, 10))
    # The second starts at 100, the others when it ends.
    assert outcome.waiting.longest == 148


def test_a_task_that_never_fits_is_refused_at_the_end():
    outcome = run(task(ONE, 0), task(EIGHT, 5, 1), task(ONE, 10, 5))
    assert (outcome.refused, outcome.refused_by_size, outcome.waiting.never) == (1, {8: 1}, 1)
    assert (outcome.requested, outcome.placed) == (3, 2)


def test_another_seed_shuffles_the_arrival_times():
    tasks = [task(EIGHT if number % 3 else ONE, number * 10.0, 25) for number in range(20)]
    assert run(*tasks) == run(*reversed(tasks))
    assert run(*tasks, seed=1) == run(*tasks, seed=1)
    assert run(*tasks, seed=1).waiting != run(*tasks, seed=2).waiting


def test_the_course_ends_at_the_last_arrival():
    outcome = run(*(task(ONE, number * 50.0, 500) for number in range(21)))
    assert list(outcome.course) == [step * 50.0 for step in range(1, 21)]
    assert outcome.course[50] == 12.5
    assert set(list(outcome.course.values())[10:]) == {100.0}


@pytest.mark.parametrize("ranker", [pack, FragmentationRanker])
def test_numa_cells_are_released(ranker):
    hosts = fleet(canonical(host(cell(4), cell(4), vcpus=16, ram=160)))
    near = request_class(2, cells=1, vcpus=4, ram_mib=10)
    both = request_class(8, cells=2, vcpus=16, ram_mib=20)
    tasks = [task(near, n, 10) for n in range(4)] + [task(both, 20, 10), task(near, 21, 5)]
    outcome = run(*tasks, hosts=hosts, ranker=ranker())
    assert (outcome.refused, outcome.waiting.waited, outcome.numa_split) == (0, 1, 1)


def test_the_load_of_a_trace():
    assert timed_replay.load(Trace([task(EIGHT, 0, 50), task(ONE, 100)]), 8) == pytest.approx(62.5)
    assert timed_replay.load(Trace([task(EIGHT, 0, 50)]), 8) == 0


def test_a_trace_without_times_is_refused():
    with pytest.raises(UserError, match="leave out --times"):
        run(task(ONE, 1), Task(ONE))
