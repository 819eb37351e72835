# SPDX-License-Identifier: Apache-2.0
"""How many servers a fleet has room for."""

from nova_gpu_passthrough.simulator import fill_replay
from nova_gpu_passthrough.simulator.trace import Task, Trace
from tests.unit.packing.host_states import request_class
from tests.unit.simulator.fleets import EIGHT, ONE, fleet, pack, plain, spread


def run(hosts, *tasks, ranker=pack, seed=0):
    trace = Trace(tasks)
    return fill_replay.run(hosts, trace, ranker(), trace.mix(), seed)


def test_as_many_as_fit():
    found = run(fleet(plain(8), plain(8)), Task(ONE))
    assert (found.servers, found.allocated_percent, found.starved) == (16, 100, "a class")
    assert found.before_refusal == {"a class": 16}


def test_the_first_refused_flavor_and_the_others():
    one = request_class(1, vcpus=4, ram_mib=40)
    object.__setattr__(one, "name", "one")
    hosts = fleet(*[plain(8)] * 4)
    found = run(hosts, Task(one, 9), Task(EIGHT), ranker=spread)
    assert found.starved == "a class"
    assert found.servers < 32
    assert set(found.before_refusal) == {"one", "a class"}


def test_more_hosts_have_room_for_more_servers():
    few = run(fleet(plain(8), plain(8)), Task(ONE, 9), Task(EIGHT))
    many = run(fleet(*[plain(8)] * 6), Task(ONE, 9), Task(EIGHT))
    assert many.servers > few.servers


def test_a_replay_ends_even_if_a_class_is_never_refused():
    cheap = request_class(0)
    found = run(fleet(plain(8)), Task(ONE), Task(cheap))
    assert "a class" in found.before_refusal
    assert found.starved == "a class"
