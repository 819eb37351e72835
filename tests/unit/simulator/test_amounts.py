# SPDX-License-Identifier: Apache-2.0
"""Arrays tell the same as the rules for one host."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nova_gpu_passthrough.packing.allocate import placements
from nova_gpu_passthrough.packing.count_servers import servers, usable
from nova_gpu_passthrough.simulator.amounts import Amounts, Needs, is_floating
from tests.unit.packing.host_states import classes, wanted
from tests.unit.simulator.fleets import canonical_states

FLOATING = classes().filter(is_floating)


def amounts(hosts):
    return Amounts(hosts, {group.model for state in hosts for group in state.groups()})


@settings(deadline=None)
@given(st.lists(canonical_states, min_size=1, max_size=4), st.lists(FLOATING, min_size=1))
def test_as_many_servers_fit_as_one_host_after_the_other_says(hosts, some):
    known = amounts(hosts)
    needs = Needs(some, known)
    found = needs.servers(known.bulk, known.gpus)
    assert found.tolist() == [[servers(state, one) for one in some] for state in hosts]
    found = needs.usable(known.bulk, known.gpus)
    assert found.tolist() == [[usable(state, one) for one in some] for state in hosts]


@settings(deadline=None)
@given(st.lists(canonical_states, min_size=1, max_size=4), FLOATING)
def test_a_floating_server_fits_where_a_host_has_enough_as_a_whole(hosts, some):
    found = amounts(hosts).fit(some, np.arange(len(hosts)))
    assert found.tolist() == [
        number for number, state in enumerate(hosts) if placements(state, some)
    ]


def test_only_guests_of_no_place_float():
    assert is_floating(wanted(2, vcpus=1))
    assert is_floating(wanted(1, linked=True))
    assert not is_floating(wanted(2, linked=True))
    assert not is_floating(wanted(2, cells=1))
