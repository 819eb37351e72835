# SPDX-License-Identifier: Apache-2.0
"""What servers take of a host, they give back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nova_gpu_passthrough.packing.allocate import placements
from nova_gpu_passthrough.packing.host_state import canonical
from nova_gpu_passthrough.simulator.holding import HeldHost
from tests.unit.packing.host_states import cell, classes, host, wanted
from tests.unit.simulator.fleets import canonical_states


@settings(deadline=None)
@given(canonical_states, st.data())
def test_servers_come_and_go_in_any_order(empty, data):
    one = HeldHost(empty)
    held = []
    for _ in range(data.draw(st.integers(1, 8))):
        if held and data.draw(st.booleans()):
            before = one.state
            gone = held.pop(data.draw(st.integers(0, len(held) - 1)))
            after = one.give_back(gone)
            assert after == one.state
            assert after.free_gpus == before.free_gpus + gone.wanted.gpus
            continue
        some = data.draw(classes())
        ways = placements(one.state, some)
        if ways:
            after = data.draw(st.sampled_from(ways))
            held.append(one.take(some, after))
            assert one.state == after
    for gone in held:
        one.give_back(gone)
    assert one.state == empty


def test_what_cannot_be_left_is_refused():
    one = HeldHost(canonical(host(cell(4))))
    with pytest.raises(ValueError, match="does not leave"):
        one.take(wanted(1), canonical(host(cell(1))))
