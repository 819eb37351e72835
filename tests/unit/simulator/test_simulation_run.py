# SPDX-License-Identifier: Apache-2.0
"""One run of a ranker, server by server."""

from nova_gpu_passthrough.packing.host_state import GpuGroup, canonical
from nova_gpu_passthrough.simulator.ranker import Ranker
from nova_gpu_passthrough.simulator.simulation_run import (
    SimulationRun,
    is_split_over_links,
    is_split_over_numa_nodes,
)
from tests.unit.packing.host_states import cell, host, request_class
from tests.unit.simulator.fleets import EIGHT, ONE, fleet, plain


class Recorder(Ranker):
    """Chooses the last host, and records all calls."""

    def begin(self, hosts, mix, rng):
        self.calls = [("begin", len(hosts), dict(mix), rng.random())]

    def changed(self, index, state):
        self.calls.append((index, state))

    def choose(self, request_class, fitting):
        index = int(fitting.hosts[-1])
        return index, fitting.after(index)[-1]


def simulation_run(*empty):
    recorder = Recorder()
    return SimulationRun(fleet(*empty), recorder, {ONE: 2}, 5), recorder


def test_the_ranker_gets_every_change():
    run, recorder = simulation_run(plain(8), plain(1))
    assert recorder.calls[0][:3] == ("begin", 2, {ONE: 2})
    assert run.request(ONE) == (1, plain(0, 28, 280))
    run.release(ONE, 1, plain(1))
    assert recorder.calls[1:] == [(1, plain(0, 28, 280)), (1, plain(1))]


def test_servers_are_counted():
    run, _ = simulation_run(plain(8), plain(1))
    assert run.request(EIGHT) is not None
    assert run.request(EIGHT) is None
    assert run.request(ONE) is not None
    outcome = run.outcome({})
    assert (outcome.requested, outcome.placed, outcome.refused) == (3, 2, 1)
    assert outcome.refused_by_size == {8: 1}
    assert (outcome.unallocated_gpus, outcome.allocated_percent) == (0, 100)
    assert (outcome.seed, outcome.several_gpus) == (5, 1)


def test_split_servers_are_counted():
    run, _ = simulation_run(canonical(host(cell(2), cell(2))))
    run.request(request_class(1))
    run.request(request_class(3))
    outcome = run.outcome({})
    assert (outcome.several_gpus, outcome.numa_split, outcome.link_split) == (1, 1, 1)


def test_random_numbers_are_the_same_for_a_seed():
    assert simulation_run(plain(8))[1].calls[0] == simulation_run(plain(8))[1].calls[0]


def state(*free, link=0):
    return canonical(host(*(cell(one, link=link) for one in free)))


def test_gpus_of_one_numa_node_or_two():
    assert not is_split_over_numa_nodes(state(4, 3), state(4, 1))
    assert not is_split_over_numa_nodes(state(4, 3), state(2, 3))
    assert not is_split_over_numa_nodes(state(4, 4), state(4, 0))
    assert is_split_over_numa_nodes(state(4, 4), state(3, 3))
    assert is_split_over_numa_nodes(state(2, 2), state(0, 0))


def test_gpus_of_unknown_nodes_do_not_count():
    loose = canonical(host(loose=[GpuGroup("H100", 0, 4)]))
    assert not is_split_over_numa_nodes(loose, canonical(host(loose=[GpuGroup("H100", 0, 1)])))


def test_gpus_of_one_link_group_or_none():
    board = state(4, 4, link=1)
    assert not is_split_over_links(board, state(3, 3, link=1))
    assert is_split_over_links(state(4, 4), state(2, 4))
    pairs = canonical(
        host(cell(0)._replace(gpus=(GpuGroup("G2", 1, 2), GpuGroup("G2", 2, 2))), cell(0))
    )
    one = canonical(host(cell(0)._replace(gpus=(GpuGroup("G2", 1, 2),)), cell(0)))
    apart = canonical(host(cell(2, model="G2"), cell(0)))
    assert not is_split_over_links(pairs, one)
    assert is_split_over_links(pairs, apart)
