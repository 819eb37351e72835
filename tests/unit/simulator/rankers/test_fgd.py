# SPDX-License-Identifier: Apache-2.0
"""Fragmentation gradient descent as defined by the FGD paper, for whole GPUs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nova_gpu_passthrough.packing.allocate import possible_states
from nova_gpu_passthrough.simulator.rankers.fgd import FgdRanker
from nova_gpu_passthrough.simulator.simulated_hosts import SimulatedHosts
from tests.unit.packing.host_states import classes
from tests.unit.simulator.fleets import CPU, EIGHT, ONE, begun, canonical_states, fleet, plain


def fragmented(state, mix):
    """Return the free GPUs times the share of tasks that cannot use them there."""
    lost = sum(
        count for some, count in mix.items() if not some.gpus or not possible_states(state, some)
    )
    return state.free_gpus * lost / sum(mix.values())


@settings(deadline=None)
@given(st.data())
def test_the_host_where_fragmentation_grows_least_is_chosen(data):
    hosts = fleet(*data.draw(st.lists(canonical_states, min_size=1, max_size=4)))
    mix = data.draw(st.dictionaries(classes(), st.integers(1, 5), min_size=1, max_size=4))
    some = data.draw(st.sampled_from(list(mix)))
    fitting = SimulatedHosts(hosts).fitting(some)
    if fitting is None:
        return
    index, after = begun(FgdRanker(), hosts, mix).choose(some, fitting)
    grown = {
        number: min(
            fragmented(left, mix) - fragmented(fitting.before(number), mix)
            for left in fitting.after(number)
        )
        for number in fitting.hosts.tolist()
    }
    found = fragmented(after, mix) - fragmented(fitting.before(index), mix)
    assert found == pytest.approx(min(grown.values()))


def test_a_whole_host_is_kept_for_large_servers():
    hosts = fleet(plain(8), plain(4, vcpus=16, ram=160))
    fitting = SimulatedHosts(hosts).fitting(ONE)
    ranker = begun(FgdRanker(), hosts, {ONE: 2, EIGHT: 2, CPU: 1})
    assert ranker.choose(ONE, fitting)[0] == 1
