# SPDX-License-Identifier: Apache-2.0
"""The ranker chooses the hosts that the policy prefers."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from nova_gpu_passthrough.packing.host_state import canonical
from nova_gpu_passthrough.policies import fragmentation as policies
from nova_gpu_passthrough.policies.mix import Mix
from nova_gpu_passthrough.simulator.rankers.fragmentation import FragmentationRanker
from nova_gpu_passthrough.simulator.simulated_hosts import SimulatedHosts
from tests.unit.packing.host_states import cell, host, request_class
from tests.unit.simulator.fleets import CPU, EIGHT, ONE, begun, chosen, fleet, plain

TWO = request_class(2, vcpus=2, ram_mib=10)
LINKED = request_class(2, vcpus=2, ram_mib=10, linked=True)
NEAR = request_class(2, cells=1, vcpus=2, ram_mib=10)
BOTH = request_class(4, cells=2, vcpus=8, ram_mib=40)
FLOATING = [ONE, TWO, EIGHT, CPU]
ALL = [*FLOATING, LINKED, NEAR, BOTH]


@st.composite
def empty(draw):
    """Generate hosts with and without NUMA cells, links and spare CPUs."""
    model = draw(st.sampled_from(["H100-SXM", "L40S"]))
    free = draw(st.integers(0, 4))
    if draw(st.booleans()):
        return plain(2 * free, draw(st.integers(4, 40)), draw(st.integers(40, 400)), model)
    link = draw(st.integers(0, 1))
    return canonical(
        host(
            cell(free, draw(st.integers(4, 20)), 0, 160, link, model),
            cell(free, 16, 0, draw(st.integers(40, 200)), link, model),
            vcpus=draw(st.integers(10, 40)),
            ram=400,
        )
    )


@settings(deadline=None)
@given(st.data())
def test_the_ranker_chooses_as_the_policy_does(data):
    kinds = data.draw(st.sampled_from([FLOATING, ALL]))
    hosts = fleet(*data.draw(st.lists(empty(), min_size=1, max_size=5)))
    mix = {one: data.draw(st.integers(1, 9)) for one in kinds}
    ranker = begun(FragmentationRanker(), hosts, mix)
    policy = policies.Fragmentation(Mix(mix))
    names = [one.name for one in hosts]
    current = SimulatedHosts(hosts)
    for name, state in zip(names, current.states, strict=True):
        policy.observe(name, state)
    for some in data.draw(st.lists(st.sampled_from(kinds), max_size=12)):
        fitting = current.fitting(some)
        if fitting is None:
            continue
        index, after = ranker.choose(some, fitting)
        keys = {
            number: min(
                policy.sort_key(fitting.before(number), left) for left in fitting.after(number)
            )
            for number in fitting.hosts.tolist()
        }
        assert index == min(keys, key=lambda number: (keys[number], number))
        assert policy.sort_key(fitting.before(index), after) == keys[index]
        order = sorted(set(keys.values()))
        scores = ranker.scores(some, fitting).tolist()
        assert scores == [-order.index(key) for key in keys.values()]
        current.put(index, after)
        ranker.changed(index, after)
        policy.observe(names[index], after)
    assert ranker.policy.supply == policy.supply


def test_all_models_have_the_same_value_if_the_catalogue_lacks_one():
    # In the catalogue an H100-SXM has a higher value than a T4.
    known = fleet(plain(4, model="H100-SXM"), plain(4, model="T4"))
    assert chosen(begun(FragmentationRanker(), known, {ONE: 1}), known, ONE) == 1
    unknown = fleet(plain(4, model="G2"), plain(4, model="T4"))
    assert chosen(begun(FragmentationRanker(), unknown, {ONE: 1}), unknown, ONE) == 0


def test_a_replay_does_not_affect_the_next_one():
    hosts = fleet(plain(8), plain(8))
    ranker = begun(FragmentationRanker(), hosts)
    ranker.changed(0, plain(1))
    before = list(ranker.policy.supply)
    ranker.begin(hosts, {ONE: 3, EIGHT: 1}, random.Random(0))
    assert list(ranker.policy.supply) != before
