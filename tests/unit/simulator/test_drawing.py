# SPDX-License-Identifier: Apache-2.0
"""Tasks are drawn until a part of the GPUs was asked for."""

import itertools

import pytest

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.simulator import drawing
from nova_gpu_passthrough.simulator.rankers.plain import Pack, Random
from nova_gpu_passthrough.simulator.stranded import Cause
from nova_gpu_passthrough.simulator.trace import Task, Trace
from tests.unit.simulator.fleets import CPU, EIGHT, ONE, fleet, plain

TRACE = Trace([Task(ONE, 6), Task(EIGHT, 1), Task(CPU, 1)])
HOSTS = fleet(*[plain(8)] * 10)


def run(ranker, seed=0, hosts=HOSTS, trace=TRACE, requested=100, tell=None):
    return drawing.run(hosts, trace, ranker, trace.mix(), seed, requested, tell)


def test_all_rankers_get_the_same_tasks():
    first = list(itertools.islice(drawing.draw(TRACE, 3), 500))
    assert first == list(itertools.islice(drawing.draw(TRACE, 3), 500))
    assert first != list(itertools.islice(drawing.draw(TRACE, 4), 500))
    counts = [first.count(some) for some in (ONE, EIGHT, CPU)]
    assert counts[0] > 300
    assert min(counts) > 30


def test_what_came_of_it_adds_up():
    outcome = run(Pack())
    assert outcome.total_gpus == 80
    assert outcome.asked == outcome.placed + outcome.refused
    assert outcome.refused == sum(outcome.refused_by_size.values())
    assert outcome.unallocated_gpus == pytest.approx(80 * (1 - outcome.allocated_percent / 100))
    assert outcome.course[100] == outcome.allocated_percent
    assert outcome.several_gpus <= outcome.placed


def test_the_course_is_noted_at_all_marks_and_never_falls():
    told = []
    outcome = run(Pack(), requested=75, tell=told.append)
    assert told == list(outcome.course) == [50, 60, 70, 75, 80, 90, 100, 110, 120, 130]
    values = list(outcome.course.values())
    assert values == sorted(values)
    assert outcome.allocated_percent == outcome.course[75]


def test_the_seed_decides_all():
    assert run(Random(), 1) == run(Random(), 1)
    assert run(Random(), 1) != run(Random(), 2)


def test_packing_refuses_fewer_large_servers_than_chance():
    assert run(Pack()).refused_by_size.get(8, 0) < run(Random()).refused_by_size.get(8, 0)


def test_gpus_without_cpus_are_stranded():
    hosts = fleet(*[plain(8, vcpus=16)] * 10)
    outcome = run(Pack(), hosts=hosts, trace=Trace([Task(ONE)]))
    assert (outcome.unallocated_gpus, outcome.stranded) == (40, {Cause.VCPUS: 40})


@pytest.mark.parametrize(
    "hosts, trace, expected",
    [
        (fleet(plain(0)), TRACE, "no host has GPUs"),
        (HOSTS, Trace([Task(CPU)]), "no task asks for GPUs"),
        (HOSTS, Trace([Task(CPU, 1e12), Task(ONE, 1e-3)]), "after 1000 tasks only 0 % of the GPUs"),
    ],
)
def test_what_cannot_be_simulated(hosts, trace, expected, monkeypatch):
    monkeypatch.setattr(drawing, "_ENDLESS", 1000)
    with pytest.raises(UserError, match=expected):
        run(Pack(), hosts=hosts, trace=trace)
