# SPDX-License-Identifier: Apache-2.0
"""Policies of nova-scheduler as rankers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nova_gpu_passthrough.packing.host_state import canonical
from nova_gpu_passthrough.policies.base import Policy
from nova_gpu_passthrough.policies.fragmentation import Fragmentation
from nova_gpu_passthrough.policies.pack import Pack
from nova_gpu_passthrough.policies.spread import Spread
from nova_gpu_passthrough.simulator.rankers.fragmentation import FragmentationRanker
from nova_gpu_passthrough.simulator.rankers.policy import (
    HostPolicyRanker,
    ScorePolicyRanker,
    ranker_of,
)
from nova_gpu_passthrough.simulator.simulated_hosts import SimulatedHosts
from tests.unit.packing.host_states import cell, host, request_class
from tests.unit.simulator.fleets import CPU, EIGHT, ONE, begun, chosen, fleet, plain

HOSTS = fleet(plain(8), plain(2), plain(4))
NEAR = request_class(2, cells=1, vcpus=2, ram_mib=10)


@pytest.mark.parametrize("policy, with_gpus, without", [(Pack, 1, 1), (Spread, 0, 1)])
def test_the_fewest_or_the_most_free_gpus(policy, with_gpus, without):
    ranker = begun(ranker_of(policy()), HOSTS)
    assert chosen(ranker, HOSTS, ONE) == with_gpus
    assert chosen(ranker, HOSTS, CPU) == without


def test_the_first_of_equal_hosts_is_chosen():
    hosts = fleet(plain(4), plain(2), plain(2))
    assert chosen(begun(ranker_of(Pack()), hosts), hosts, ONE) == 1


class FewestNodes(Policy):
    """Scores the devices that the filter would choose."""

    def score(self, host, request, choice):
        return 1 / len(choice.numa_nodes)


def test_a_policy_may_score_the_chosen_devices():
    hosts = fleet(
        canonical(host(cell(1), cell(1))),
        canonical(host(cell(2), cell(0))),
        canonical(host(cell(0), cell(0))),
    )
    ranker = begun(ranker_of(FewestNodes()), hosts)
    assert isinstance(ranker, ScorePolicyRanker)
    assert chosen(ranker, hosts, request_class(2)) == 1
    assert chosen(ranker, hosts, request_class(0)) == 2


@st.composite
def empty(draw):
    """Hosts with and without NUMA cells."""
    model = draw(st.sampled_from(["H100-SXM", "L40S", "G2"]))
    free = draw(st.integers(0, 4))
    if draw(st.booleans()):
        return plain(2 * free, draw(st.integers(4, 40)), draw(st.integers(40, 400)), model)
    return canonical(host(cell(free, model=model), cell(free, model=model), vcpus=16, ram=160))


@settings(deadline=None)
@given(st.data())
def test_a_host_policy_chooses_the_same_hosts_with_and_without_arrays(data):
    hosts = fleet(*data.draw(st.lists(empty(), min_size=1, max_size=5)))
    mix = {ONE: 3, EIGHT: 1, CPU: 2, NEAR: 2}
    plain_ranker = begun(ranker_of(Fragmentation()), hosts, mix)
    assert isinstance(plain_ranker, HostPolicyRanker)
    fast_ranker = begun(FragmentationRanker(), hosts, mix)
    current = SimulatedHosts(hosts)
    for some in data.draw(st.lists(st.sampled_from(list(mix)), max_size=12)):
        fitting = current.fitting(some)
        if fitting is None:
            continue
        index, after = fast_ranker.choose(some, fitting)
        assert plain_ranker.choose(some, fitting) == (index, after)
        current.put(index, after)
        fast_ranker.changed(index, after)
        plain_ranker.changed(index, after)
