# SPDX-License-Identifier: Apache-2.0
"""Topology of hosts of which none is told."""

import pytest

from nova_gpu_passthrough.packing.host_state import HostState
from nova_gpu_passthrough.packing.request_class import Reach
from nova_gpu_passthrough.simulator import layout
from nova_gpu_passthrough.simulator.layout import Numa, Topology
from tests.unit.packing.host_states import wanted


def shape(state: HostState):
    return [
        (cell.shared_cpus, cell.ram_mib, [(group.link, group.free) for group in cell.gpus])
        for cell in state.cells
    ]


def test_nodes_have_halves_and_one_the_odd_one():
    assert sorted(shape(layout.state(65, 101, "T4", 3))) == [
        (32, 50, [(0, 1)]),
        (33, 51, [(0, 2)]),
    ]
    state = layout.state(65, 101, "T4", 3)
    assert (state.vcpus, state.ram_mib, state.free_gpus) == (65, 101, 3)


@pytest.mark.parametrize(
    "model, links",
    [
        ("V100M32", [[(1, 4)], [(1, 4)]]),
        ("G2", [[(1, 2), (2, 2)], [(3, 2), (4, 2)]]),
        ("T4", [[(0, 4)], [(0, 4)]]),
    ],
)
def test_links_by_model(model, links):
    assert [groups for _, _, groups in shape(layout.state(8, 8, model, 8))] == links


def test_no_topology_at_all():
    assert shape(layout.state(8, 8, "G3", 8, Topology.NONE)) == [(8, 8, [(0, 8)])]


def test_guests_get_as_few_cells_as_they_fit_in():
    hosts = [layout.state(8, 80, "T4", 2), layout.state(16, 80, "G2", 8)]
    few = wanted(4, vcpus=8, ram_mib=40)
    assert layout.guest(few, Numa.NONE, hosts) == few
    found = layout.guest(few, Numa.FIT, hosts)
    assert (found.numa_cells, found.reach) == (1, Reach.NEAR)
    for large in (wanted(5), wanted(1, vcpus=9), wanted(1, ram_mib=41), wanted(2, model="T4")):
        assert layout.guest(large, Numa.FIT, hosts).numa_cells == 2


def test_every_rule_is_told():
    assert set(layout.RULES) == set(Topology)
    assert set(layout.NUMA_RULES) == set(Numa)
