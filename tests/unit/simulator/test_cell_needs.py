# SPDX-License-Identifier: Apache-2.0
"""Arrays tell the same as the rules for one host, NUMA cells and all."""

import dataclasses

from hypothesis import given, settings
from hypothesis import strategies as st

from nova_gpu_passthrough.packing.count_servers import servers
from nova_gpu_passthrough.packing.host_state import HostState, canonical
from nova_gpu_passthrough.packing.request_class import Reach
from nova_gpu_passthrough.simulator.cell_needs import CellNeeds, has_cells, is_simple
from tests.unit.packing.host_states import cell, cell_states, classes, host, wanted


@st.composite
def cases(draw):
    """Hosts with so many cells, and simple classes."""
    cells = draw(st.integers(1, 3))
    layouts = st.lists(cell_states, min_size=cells, max_size=cells)
    amounts = st.integers(0, 12)
    hosts = [
        canonical(HostState(tuple(draw(layouts)), draw(amounts), draw(amounts), draw(amounts)))
        for _ in range(draw(st.integers(1, 3)))
    ]
    some = [
        dataclasses.replace(
            one,
            numa_cells=(number := draw(st.sampled_from([0, 1, cells]))),
            pinned_cpus=one.pinned_cpus if number else 0,
            reach=Reach.NEAR if number else Reach.ANYWHERE,
            linked=one.linked and one.gpus == 1,
        )
        for one in draw(st.lists(classes(), min_size=1, max_size=4))
    ]
    return cells, hosts, some


@settings(deadline=None)
@given(cases())
def test_as_many_servers_fit_as_one_host_after_the_other_says(case):
    cells, hosts, some = case
    assert all(has_cells(state, cells) for state in hosts)
    assert all(is_simple(one, cells) for one in some)
    models = {group.model for state in hosts for group in state.groups()}
    found = CellNeeds(some, cells, models).servers(hosts).tolist()
    assert found == [[servers(state, one) for one in some] for state in hosts]


def test_what_takes_a_search_is_not_simple():
    assert is_simple(wanted(2, cells=2), 2)
    assert not is_simple(wanted(2, cells=2), 3)
    assert not is_simple(wanted(2, cells=1, linked=True), 2)
    assert not is_simple(wanted(2, cells=1, reach=Reach.ANYWHERE), 2)
    assert not has_cells(host(cell(1)), 2)
