# SPDX-License-Identifier: Apache-2.0
"""One run, server by server."""

from nova_gpu_passthrough.packing.host_state import canonical
from nova_gpu_passthrough.simulator.placing import Placing
from nova_gpu_passthrough.simulator.ranker import Ranker
from tests.unit.packing.host_states import cell, host, wanted
from tests.unit.simulator.fleets import EIGHT, ONE, fleet, plain


class Recorder(Ranker):
    """Takes the last host, and notes what it is told."""

    name = "recorder"

    def begin(self, hosts, mix, rng):
        self.told = [("begin", len(hosts), dict(mix), rng.random())]

    def changed(self, index, state):
        self.told.append((index, state))

    def choose(self, wanted, offers):
        index = int(offers.hosts[-1])
        return index, offers.after(index)[-1]


def placing(*empty):
    recorder = Recorder()
    return Placing(fleet(*empty), recorder, {ONE: 2}, 5), recorder


def test_the_ranker_is_told_of_every_change():
    run, recorder = placing(plain(8), plain(1))
    assert recorder.told[0][:3] == ("begin", 2, {ONE: 2})
    assert run.ask(ONE) == (1, plain(0, 28, 280))
    run.release(ONE, 1, plain(1))
    assert recorder.told[1:] == [(1, plain(0, 28, 280)), (1, plain(1))]


def test_servers_are_counted():
    run, _ = placing(plain(8), plain(1))
    assert run.ask(EIGHT) is not None
    assert run.ask(EIGHT) is None
    assert run.ask(ONE) is not None
    outcome = run.outcome({})
    assert (outcome.asked, outcome.placed, outcome.refused) == (3, 2, 1)
    assert outcome.refused_by_size == {8: 1}
    assert (outcome.unallocated_gpus, outcome.allocated_percent) == (0, 100)
    assert (outcome.seed, outcome.several_gpus) == (5, 1)


def test_split_servers_are_counted():
    run, _ = placing(canonical(host(cell(2), cell(2))))
    run.ask(wanted(1))
    run.ask(wanted(3))
    outcome = run.outcome({})
    assert (outcome.several_gpus, outcome.numa_split, outcome.link_split) == (1, 1, 1)


def test_chance_is_the_same_for_a_seed():
    assert placing(plain(8))[1].told[0] == placing(plain(8))[1].told[0]
