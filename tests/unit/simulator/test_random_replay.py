# SPDX-License-Identifier: Apache-2.0
"""Tasks are drawn until a share of the GPUs was requested."""

import itertools

import pytest

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.simulator import random_replay
from nova_gpu_passthrough.simulator.rankers.random_host import RandomRanker
from nova_gpu_passthrough.simulator.stranded_causes import StrandedCause
from nova_gpu_passthrough.simulator.trace import Task, Trace
from tests.unit.simulator.fleets import CPU, EIGHT, ONE, fleet, pack, plain

TRACE = Trace([Task(ONE, 6), Task(EIGHT, 1), Task(CPU, 1)])
HOSTS = fleet(*[plain(8)] * 10)


def run(ranker, seed=0, hosts=HOSTS, trace=TRACE, requested=100, progress=None):
    return random_replay.run(hosts, trace, ranker, trace.mix(), seed, requested, progress)


def test_all_rankers_get_the_same_tasks():
    first = list(itertools.islice(random_replay.draw(TRACE, 3), 500))
    assert first == list(itertools.islice(random_replay.draw(TRACE, 3), 500))
    assert first != list(itertools.islice(random_replay.draw(TRACE, 4), 500))
    counts = [first.count(some) for some in (ONE, EIGHT, CPU)]
    assert counts[0] > 300
    assert min(counts) > 30


def test_the_counts_of_an_outcome_add_up():
    outcome = run(pack())
    assert outcome.total_gpus == 80
    assert outcome.requested == outcome.placed + outcome.refused
    assert outcome.refused == sum(outcome.refused_by_size.values())
    assert outcome.unallocated_gpus == pytest.approx(80 * (1 - outcome.allocated_percent / 100))
    assert outcome.course[100] == outcome.allocated_percent
    assert outcome.several_gpus <= outcome.placed


def test_the_course_is_recorded_at_all_marks_and_never_falls():
    reported = []
    outcome = run(pack(), requested=75, progress=reported.append)
    assert reported == list(outcome.course) == [50, 60, 70, 75, 80, 90, 100, 110, 120, 130]
    values = list(outcome.course.values())
    assert values == sorted(values)
    assert outcome.allocated_percent == outcome.course[75]


def test_the_seed_decides_everything():
    assert run(RandomRanker(), 1) == run(RandomRanker(), 1)
    assert run(RandomRanker(), 1) != run(RandomRanker(), 2)


def test_packing_refuses_fewer_large_servers_than_random_hosts():
    assert run(pack()).refused_by_size.get(8, 0) < run(RandomRanker()).refused_by_size.get(8, 0)


def test_gpus_without_cpus_are_stranded():
    hosts = fleet(*[plain(8, vcpus=16)] * 10)
    outcome = run(pack(), hosts=hosts, trace=Trace([Task(ONE)]))
    assert (outcome.unallocated_gpus, outcome.stranded) == (40, {StrandedCause.VCPUS: 40})


@pytest.mark.parametrize(
    "hosts, trace, expected",
    [
        (fleet(plain(0)), TRACE, "no host has GPUs"),
        (HOSTS, Trace([Task(CPU)]), "no task requests GPUs"),
        (HOSTS, Trace([Task(CPU, 1e12), Task(ONE, 1e-3)]), "after 1000 tasks only 0 % of the GPUs"),
    ],
)
def test_invalid_input_is_refused(hosts, trace, expected, monkeypatch):
    monkeypatch.setattr(random_replay, "_MOST_TASKS", 1000)
    with pytest.raises(UserError, match=expected):
        run(pack(), hosts=hosts, trace=trace)
