# SPDX-License-Identifier: Apache-2.0
"""Fragmentation as the FGD paper defines it, for whole GPUs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nova_gpu_passthrough.packing.allocate import placements
from nova_gpu_passthrough.simulator.hosts import Hosts
from nova_gpu_passthrough.simulator.rankers.fgd import Fgd
from tests.unit.packing.host_states import classes
from tests.unit.simulator.fleets import CPU, EIGHT, ONE, begun, canonical_states, fleet, plain


def fragmented(state, mix):
    """Free GPUs times the share of tasks that cannot use them there."""
    lost = sum(count for some, count in mix.items() if not some.gpus or not placements(state, some))
    return state.free_gpus * lost / sum(mix.values())


@settings(deadline=None)
@given(st.data())
def test_the_host_where_fragmentation_grows_least_wins(data):
    hosts = fleet(*data.draw(st.lists(canonical_states, min_size=1, max_size=4)))
    mix = data.draw(st.dictionaries(classes(), st.integers(1, 5), min_size=1, max_size=4))
    some = data.draw(st.sampled_from(list(mix)))
    offers = Hosts(hosts).offers(some)
    if offers is None:
        return
    index, after = begun(Fgd(), hosts, mix).choose(some, offers)
    grown = {
        number: min(
            fragmented(left, mix) - fragmented(offers.before(number), mix)
            for left in offers.after(number)
        )
        for number in offers.hosts.tolist()
    }
    found = fragmented(after, mix) - fragmented(offers.before(index), mix)
    assert found == pytest.approx(min(grown.values()))


def test_a_whole_host_is_kept_for_who_needs_it():
    hosts = fleet(plain(8), plain(4, vcpus=16, ram=160))
    offers = Hosts(hosts).offers(ONE)
    ranker = begun(Fgd(), hosts, {ONE: 2, EIGHT: 2, CPU: 1})
    assert ranker.choose(ONE, offers)[0] == 1
