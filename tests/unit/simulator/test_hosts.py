# SPDX-License-Identifier: Apache-2.0
"""Where servers fit, however hosts change."""

from hypothesis import given, settings
from hypothesis import strategies as st

from nova_gpu_passthrough.packing.allocate import placements
from nova_gpu_passthrough.simulator.hosts import Hosts
from tests.unit.packing.host_states import classes
from tests.unit.simulator.fleets import CPU, EIGHT, ONE, canonical_states, fleet, plain


@settings(deadline=None)
@given(st.data())
def test_offers_are_those_of_the_states_as_they_are_now(data):
    states = data.draw(st.lists(canonical_states, min_size=1, max_size=4))
    some = data.draw(st.lists(classes(), min_size=1, max_size=3))
    hosts = Hosts(fleet(*states))
    models = {group.model for state in states for group in state.groups()}
    for _ in range(data.draw(st.integers(0, 6))):
        wanted = data.draw(st.sampled_from(some))
        offers = hosts.offers(wanted)
        expected = {
            number: after
            for number, state in enumerate(hosts.states)
            if (after := placements(state, wanted))
        }
        assert (offers.hosts.tolist() if offers else []) == list(expected)
        if offers:
            assert {number: offers.after(number) for number in expected} == expected
            assert offers.gpus.tolist() == [hosts.states[n].free_gpus for n in expected]
            assert offers.vcpus.tolist() == [hosts.states[n].vcpus for n in expected]
            assert offers.ram_mib.tolist() == [hosts.states[n].ram_mib for n in expected]
            assert [offers.before(n) for n in expected] == [hosts.states[n] for n in expected]
        state = data.draw(canonical_states)
        if {group.model for group in state.groups()} <= models:
            hosts.put(data.draw(st.integers(0, len(states) - 1)), state)


def test_a_host_that_has_room_again_is_offered_again():
    hosts = Hosts(fleet(plain(8), plain(1)))
    assert hosts.offers(EIGHT).hosts.tolist() == [0]
    hosts.put(0, plain(7))
    assert hosts.offers(EIGHT) is None
    assert hosts.offers(ONE).hosts.tolist() == [0, 1]
    hosts.put(0, plain(8))
    assert hosts.offers(EIGHT).hosts.tolist() == [0]


def test_servers_without_gpus_fit_on_hosts_without_gpus():
    assert Hosts(fleet(plain(0), plain(8, vcpus=3))).offers(CPU).hosts.tolist() == [0]
