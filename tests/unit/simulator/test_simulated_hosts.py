# SPDX-License-Identifier: Apache-2.0
"""The hosts that servers fit on, while hosts change."""

from hypothesis import given, settings
from hypothesis import strategies as st

from nova_gpu_passthrough.packing.allocate import possible_states
from nova_gpu_passthrough.simulator.simulated_hosts import SimulatedHosts
from tests.unit.packing.host_states import classes
from tests.unit.simulator.fleets import CPU, EIGHT, ONE, canonical_states, fleet, plain


@settings(deadline=None)
@given(st.data())
def test_fitting_hosts_are_those_of_the_current_states(data):
    states = data.draw(st.lists(canonical_states, min_size=1, max_size=4))
    some = data.draw(st.lists(classes(), min_size=1, max_size=3))
    hosts = SimulatedHosts(fleet(*states))
    models = {group.model for state in states for group in state.gpu_groups()}
    for _ in range(data.draw(st.integers(0, 6))):
        request_class = data.draw(st.sampled_from(some))
        fitting = hosts.fitting(request_class)
        expected = {
            number: after
            for number, state in enumerate(hosts.states)
            if (after := possible_states(state, request_class))
        }
        assert (fitting.hosts.tolist() if fitting else []) == list(expected)
        if fitting:
            assert {number: fitting.after(number) for number in expected} == expected
            assert fitting.gpus.tolist() == [hosts.states[n].free_gpus for n in expected]
            assert fitting.vcpus.tolist() == [hosts.states[n].vcpus for n in expected]
            assert fitting.ram_mib.tolist() == [hosts.states[n].ram_mib for n in expected]
            assert [fitting.before(n) for n in expected] == [hosts.states[n] for n in expected]
        state = data.draw(canonical_states)
        if {group.model for group in state.gpu_groups()} <= models:
            hosts.put(data.draw(st.integers(0, len(states) - 1)), state)


def test_a_host_that_has_room_again_is_fitting_again():
    hosts = SimulatedHosts(fleet(plain(8), plain(1)))
    assert hosts.fitting(EIGHT).hosts.tolist() == [0]
    hosts.put(0, plain(7))
    assert hosts.fitting(EIGHT) is None
    assert hosts.fitting(ONE).hosts.tolist() == [0, 1]
    hosts.put(0, plain(8))
    assert hosts.fitting(EIGHT).hosts.tolist() == [0]


def test_servers_without_gpus_fit_on_hosts_without_gpus():
    assert SimulatedHosts(fleet(plain(0), plain(8, vcpus=3))).fitting(CPU).hosts.tolist() == [0]
