# SPDX-License-Identifier: Apache-2.0
"""The ranker does as the policy does, one host after the other."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from nova_gpu_passthrough.packing.host_state import canonical
from nova_gpu_passthrough.policies import fragmentation as policies
from nova_gpu_passthrough.policies.mix import Mix
from nova_gpu_passthrough.simulator.hosts import Hosts
from nova_gpu_passthrough.simulator.rankers.fragmentation import Fragmentation
from tests.unit.packing.host_states import cell, host, wanted
from tests.unit.simulator.fleets import CPU, EIGHT, ONE, begun, chosen, fleet, plain

TWO = wanted(2, vcpus=2, ram_mib=10)
LINKED = wanted(2, vcpus=2, ram_mib=10, linked=True)
NEAR = wanted(2, cells=1, vcpus=2, ram_mib=10)
BOTH = wanted(4, cells=2, vcpus=8, ram_mib=40)
FLOATING = [ONE, TWO, EIGHT, CPU]
ALL = [*FLOATING, LINKED, NEAR, BOTH]


@st.composite
def empty(draw):
    """Hosts with and without NUMA cells, links and CPUs to spare."""
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
def test_it_chooses_as_the_policy_does(data):
    kinds = data.draw(st.sampled_from([FLOATING, ALL]))
    hosts = fleet(*data.draw(st.lists(empty(), min_size=1, max_size=5)))
    mix = {wanted: data.draw(st.integers(1, 9)) for wanted in kinds}
    ranker = begun(Fragmentation(), hosts, mix)
    policy = policies.Fragmentation(Mix(mix))
    names = [one.name for one in hosts]
    now = Hosts(hosts)
    for name, state in zip(names, now.states, strict=True):
        policy.observe(name, state)
    for some in data.draw(st.lists(st.sampled_from(kinds), max_size=12)):
        offers = now.offers(some)
        if offers is None:
            continue
        index, after = ranker.choose(some, offers)
        keys = {
            number: min(policy.key(offers.before(number), left) for left in offers.after(number))
            for number in offers.hosts.tolist()
        }
        assert index == min(keys, key=lambda number: (keys[number], number))
        assert policy.key(offers.before(index), after) == keys[index]
        order = sorted(set(keys.values()))
        scores = ranker.scores(some, offers).tolist()
        assert scores == [-order.index(key) for key in keys.values()]
        now.put(index, after)
        ranker.changed(index, after)
        policy.observe(names[index], after)
    assert ranker.policy.supply == policy.supply


def test_models_that_the_catalogue_does_not_all_know_are_worth_the_same():
    # By the catalogue an H100-SXM is worth more than a T4.
    known = fleet(plain(4, model="H100-SXM"), plain(4, model="T4"))
    assert chosen(begun(Fragmentation(), known, {ONE: 1}), known, ONE) == 1
    unknown = fleet(plain(4, model="G2"), plain(4, model="T4"))
    assert chosen(begun(Fragmentation(), unknown, {ONE: 1}), unknown, ONE) == 0


def test_a_run_does_not_know_of_another():
    hosts = fleet(plain(8), plain(8))
    ranker = begun(Fragmentation(), hosts)
    ranker.changed(0, plain(1))
    before = list(ranker.policy.supply)
    ranker.begin(hosts, {ONE: 3, EIGHT: 1}, random.Random(0))
    assert list(ranker.policy.supply) != before
