# SPDX-License-Identifier: Apache-2.0
"""The GPUs that share the CPUs and memory of a NUMA node."""

import dataclasses

import pytest

from nova_gpu_passthrough.fleet.flavors import host_layout
from nova_gpu_passthrough.fleet.settings import Settings
from nova_gpu_passthrough.inventory.host import Cpu, HugePages
from nova_gpu_passthrough.nova_rules import guest_topology
from tests.unit.generate import builders
from tests.unit.generate.fleets import resolved


def make(inventory, **keys):
    fleet = resolved(inventory, **keys)
    (offer,) = fleet.offers
    layout = host_layout.make(offer, fleet.aliases, fleet.settings)
    return layout, {alias.name: alias for alias in fleet.aliases.values()}


def gpus(layout):
    return {node.cell.id: dict(node.gpus) for node in layout.nodes}


def test_gpus_are_counted_on_their_nodes():
    layout, aliases = make(builders.hgx())
    assert gpus(layout) == {0: {"h100-sxm": 4}, 1: {"h100-sxm": 4}}
    alias = aliases["h100-sxm"]
    assert [layout.fewest_nodes(alias, count) for count in (1, 4, 5, 8, 9)] == [1, 1, 2, 2, None]
    assert len(list(layout.node_sets(alias, 4, 1))) == 2
    assert len(list(layout.node_sets(alias, 5, 1))) == 0


def test_gpus_without_a_known_node_are_spread_over_all_nodes():
    found = builders.hgx()
    for gpu in found.gpus[4:]:
        found = builders.changed(found, gpu.address, numa_node=None)
    assert gpus(make(found)[0]) == {0: {"h100-sxm": 4}, 1: {"h100-sxm": 4}}


def test_gpus_of_a_node_without_cpus_count_on_the_nearest_node():
    found = builders.l40s(count=2)
    bare = builders.NumaNode(2, memory_mib=1024, distances=(30, 17, 10))
    nodes = tuple(
        dataclasses.replace(node, distances=distances)
        for node, distances in zip(found.numa_nodes, ((10, 21, 30), (21, 10, 17)), strict=True)
    )
    found = dataclasses.replace(found, numa_nodes=(*nodes, bare))
    found = builders.changed(found, "0000:41:00.0", numa_node=2)
    layout, _ = make(found)
    assert gpus(layout) == {0: {}, 1: {"l40s": 2}}
    assert [cell.id for cell in layout.resources.cells] == [0, 1, 2]


@pytest.mark.parametrize("size", [None, guest_topology.SMALL, guest_topology.ANY])
def test_all_memory_that_the_host_does_not_keep_is_small_pages(size):
    layout, _ = make(builders.hgx())
    assert layout.nodes[0].ram_mib(size) == 256 * 1024 - 5632
    assert layout.nodes[0].ram_mib(guest_topology.LARGE) == 0


def test_existing_huge_pages_are_used():
    (first, second) = builders.nodes()
    first = dataclasses.replace(first, huge_pages=(HugePages(2048, 1000, 1000),))
    layout, _ = make(builders.hgx(numa_nodes=(first, second)))
    assert [node.ram_mib(2048) for node in layout.nodes] == [2000, 0]
    assert [node.ram_mib(guest_topology.LARGE) for node in layout.nodes] == [2000, 0]
    assert layout.nodes[0].ram_mib(guest_topology.SMALL) == 256 * 1024 - 2000 - 5632


def test_generated_huge_pages_leave_no_small_pages():
    layout, _ = make(builders.hgx(), settings=Settings(hugepages=True))
    assert layout.nodes[0].ram_mib(1024 * 1024) == 250 * 1024
    assert layout.nodes[0].ram_mib(guest_topology.SMALL) == 0


def test_memory_that_only_placement_reserves_is_not_for_flavors():
    layout, _ = make(builders.hgx(cpu=Cpu("arm")))
    assert layout.nodes[0].cell.pages[0].free_kib == 256 * 2**20
    assert layout.nodes[0].ram_mib(guest_topology.SMALL) == 256 * 1024 - 5632


def test_flavors_do_not_depend_on_a_few_mib_of_memory():
    exact = [
        make(builders.hgx(numa_nodes=builders.nodes(memory_mib=mib)))[0]
        for mib in (200 * 1024 + 1, 200 * 1024 + 1000)
    ]
    assert exact[0].resources == exact[1].resources
    assert exact[0].resources.memory_mib == 400 * 1024


def test_flavors_are_not_planned_for_pinning_on_cpus_of_the_host():
    nodes = tuple(dataclasses.replace(node, cores=()) for node in builders.nodes())
    layout, _ = make(builders.hgx(numa_nodes=nodes))
    assert [node.vcpus(pinned=True) for node in layout.nodes] == [0, 0]
    assert [node.vcpus(pinned=False) for node in layout.nodes] == [16, 16]
