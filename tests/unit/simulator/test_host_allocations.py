# SPDX-License-Identifier: Apache-2.0
"""Servers are allocated on a host and released again."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nova_gpu_passthrough.packing.allocate import possible_states
from nova_gpu_passthrough.packing.host_state import canonical
from nova_gpu_passthrough.simulator.host_allocations import AllocatedHost
from tests.unit.packing.host_states import cell, classes, host, request_class
from tests.unit.simulator.fleets import canonical_states


@settings(deadline=None)
@given(canonical_states, st.data())
def test_servers_are_released_in_any_order(empty, data):
    one = AllocatedHost(empty)
    allocations = []
    for _ in range(data.draw(st.integers(1, 8))):
        if allocations and data.draw(st.booleans()):
            before = one.state
            released = allocations.pop(data.draw(st.integers(0, len(allocations) - 1)))
            after = one.release(released)
            assert after == one.state
            assert after.free_gpus == before.free_gpus + released.request_class.gpus
            continue
        some = data.draw(classes())
        states = possible_states(one.state, some)
        if states:
            after = data.draw(st.sampled_from(states))
            allocations.append(one.allocate(some, after))
            assert one.state == after
    for allocation in allocations:
        one.release(allocation)
    assert one.state == empty


def test_an_impossible_state_is_refused():
    one = AllocatedHost(canonical(host(cell(4))))
    with pytest.raises(ValueError, match="does not leave"):
        one.allocate(request_class(1), canonical(host(cell(1))))
