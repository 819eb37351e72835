# SPDX-License-Identifier: Apache-2.0
"""The assumed topology of hosts in traces."""

import pytest

from nova_gpu_passthrough.packing.host_state import HostState
from nova_gpu_passthrough.packing.request_class import GpuLocality
from nova_gpu_passthrough.simulator import assumed_topology
from nova_gpu_passthrough.simulator.assumed_topology import GuestNuma, HostTopology
from tests.unit.packing.host_states import request_class


def shape(state: HostState):
    return [
        (cell.shared_cpus, cell.ram_mib, [(group.link, group.free) for group in cell.gpus])
        for cell in state.cells
    ]


def test_each_node_has_half_and_the_first_one_the_odd_one():
    assert sorted(shape(assumed_topology.host_state(65, 101, "T4", 3))) == [
        (32, 50, [(0, 1)]),
        (33, 51, [(0, 2)]),
    ]
    state = assumed_topology.host_state(65, 101, "T4", 3)
    assert (state.vcpus, state.ram_mib, state.free_gpus) == (65, 101, 3)


@pytest.mark.parametrize(
    "model, links",
    [
        ("V100M32", [[(1, 4)], [(1, 4)]]),
        ("G2", [[(1, 2), (2, 2)], [(3, 2), (4, 2)]]),
        ("T4", [[(0, 4)], [(0, 4)]]),
    ],
)
def test_links_depend_on_the_model(model, links):
    assert [groups for _, _, groups in shape(assumed_topology.host_state(8, 8, model, 8))] == links


def test_hosts_without_topology():
    assert shape(assumed_topology.host_state(8, 8, "G3", 8, HostTopology.NONE)) == [
        (8, 8, [(0, 8)])
    ]


def test_guests_get_as_few_cells_as_they_fit_in():
    hosts = [
        assumed_topology.host_state(8, 80, "T4", 2),
        assumed_topology.host_state(16, 80, "G2", 8),
    ]
    few = request_class(4, vcpus=8, ram_mib=40)
    assert assumed_topology.with_guest_numa(few, GuestNuma.NONE, hosts) == few
    found = assumed_topology.with_guest_numa(few, GuestNuma.FIT, hosts)
    assert (found.numa_cells, found.gpu_locality) == (1, GpuLocality.LOCAL)
    for large in (
        request_class(5),
        request_class(1, vcpus=9),
        request_class(1, ram_mib=41),
        request_class(2, model="T4"),
    ):
        assert assumed_topology.with_guest_numa(large, GuestNuma.FIT, hosts).numa_cells == 2


def test_every_choice_has_a_description():
    assert set(assumed_topology.RULES) == set(HostTopology)
    assert set(assumed_topology.NUMA_RULES) == set(GuestNuma)
