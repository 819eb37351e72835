# SPDX-License-Identifier: Apache-2.0
"""Counting with arrays gives the same results as counting on each host."""

import dataclasses

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nova_gpu_passthrough.packing.allocate import possible_states
from nova_gpu_passthrough.packing.count_servers import max_servers, usable_gpus
from nova_gpu_passthrough.packing.host_state import HostState, canonical
from nova_gpu_passthrough.packing.request_class import GpuLocality
from nova_gpu_passthrough.simulator.array_counts import (
    CountsByCells,
    CountsByTotals,
    HostTotals,
    has_cells,
    is_floating,
    is_simple,
)
from tests.unit.packing.host_states import cell, cell_states, classes, host, request_class
from tests.unit.simulator.fleets import canonical_states

FLOATING = classes().filter(is_floating)


def host_totals(hosts):
    return HostTotals(hosts, {group.model for state in hosts for group in state.gpu_groups()})


@settings(deadline=None)
@given(st.lists(canonical_states, min_size=1, max_size=4), st.lists(FLOATING, min_size=1))
def test_counts_by_totals_are_those_of_each_host(hosts, some):
    totals = host_totals(hosts)
    counts = CountsByTotals(some, totals)
    found = counts.servers(totals.bulk, totals.gpus)
    assert found.tolist() == [[max_servers(state, one) for one in some] for state in hosts]
    found = counts.usable(totals.bulk, totals.gpus)
    assert found.tolist() == [[usable_gpus(state, one) for one in some] for state in hosts]


@settings(deadline=None)
@given(st.lists(canonical_states, min_size=1, max_size=4), FLOATING)
def test_a_floating_server_fits_where_the_totals_suffice(hosts, some):
    found = host_totals(hosts).fit(some, np.arange(len(hosts)))
    assert found.tolist() == [
        number for number, state in enumerate(hosts) if possible_states(state, some)
    ]


def test_only_servers_without_numa_cells_and_links_are_floating():
    assert is_floating(request_class(2, vcpus=1))
    assert is_floating(request_class(1, linked=True))
    assert not is_floating(request_class(2, linked=True))
    assert not is_floating(request_class(2, cells=1))


@st.composite
def cases(draw):
    """Generate hosts with the same number of cells, and simple classes."""
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
            gpu_locality=GpuLocality.LOCAL if number else GpuLocality.ANY_NODE,
            linked=one.linked and one.gpus == 1,
        )
        for one in draw(st.lists(classes(), min_size=1, max_size=4))
    ]
    return cells, hosts, some


@settings(deadline=None)
@given(cases())
def test_counts_by_cells_are_those_of_each_host(case):
    cells, hosts, some = case
    assert all(has_cells(state, cells) for state in hosts)
    assert all(is_simple(one, cells) for one in some)
    models = {group.model for state in hosts for group in state.gpu_groups()}
    found = CountsByCells(some, cells, models).servers(hosts).tolist()
    assert found == [[max_servers(state, one) for one in some] for state in hosts]


def test_classes_that_require_a_search_are_not_simple():
    assert is_simple(request_class(2, cells=2), 2)
    assert not is_simple(request_class(2, cells=2), 3)
    assert not is_simple(request_class(2, cells=1, linked=True), 2)
    assert not is_simple(request_class(2, cells=1, gpu_locality=GpuLocality.ANY_NODE), 2)
    assert not has_cells(host(cell(1)), 2)
