# SPDX-License-Identifier: Apache-2.0
"""How far a fleet reaches."""

from nova_gpu_passthrough.simulator import what_if
from nova_gpu_passthrough.simulator.rankers.plain import Pack, Spread
from nova_gpu_passthrough.simulator.trace import Task, Trace
from tests.unit.packing.host_states import wanted
from tests.unit.simulator.fleets import EIGHT, ONE, fleet, plain


def run(hosts, *tasks, ranker=Pack, seed=0):
    trace = Trace(tasks)
    return what_if.run(hosts, trace, ranker(), trace.mix(), seed)


def test_as_many_as_fit():
    found = run(fleet(plain(8), plain(8)), Task(ONE))
    assert (found.servers, found.allocated_percent, found.starved) == (16, 100, "a class")
    assert found.before_refusal == {"a class": 16}


def test_who_starves_first_and_who_later():
    one = wanted(1, vcpus=4, ram_mib=40)
    object.__setattr__(one, "name", "one")
    hosts = fleet(*[plain(8)] * 4)
    found = run(hosts, Task(one, 9), Task(EIGHT), ranker=Spread)
    assert found.starved == "a class"
    assert found.servers < 32
    assert set(found.before_refusal) == {"one", "a class"}


def test_more_hosts_take_more_servers():
    few = run(fleet(plain(8), plain(8)), Task(ONE, 9), Task(EIGHT))
    many = run(fleet(*[plain(8)] * 6), Task(ONE, 9), Task(EIGHT))
    assert many.servers > few.servers


def test_what_is_never_refused_does_not_go_on_for_ever():
    cheap = wanted(0)
    found = run(fleet(plain(8)), Task(ONE), Task(cheap))
    assert "a class" in found.before_refusal
    assert found.starved == "a class"
