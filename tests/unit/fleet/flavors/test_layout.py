# SPDX-License-Identifier: Apache-2.0
"""Which GPUs share the CPUs and memory of which NUMA node."""

import dataclasses

import pytest

from nova_gpu_passthrough.fleet.flavors import layout
from nova_gpu_passthrough.fleet.model import FleetSettings
from nova_gpu_passthrough.inventory.host import HugePages
from nova_gpu_passthrough.nova_rules import guest_topology
from tests.unit.generate import builders
from tests.unit.generate.fleets import resolved


def of(found, **settings):
    fleet = resolved(found, **settings)
    (offer,) = fleet.offers
    made = layout.of(offer, fleet.aliases, fleet.settings)
    return made, {alias.name: alias for alias in fleet.aliases.values()}


def gpus(made):
    return {node.cell.id: dict(node.gpus) for node in made.nodes}


def test_gpus_are_counted_where_they_are():
    made, known = of(builders.hgx())
    assert gpus(made) == {0: {"h100-sxm": 4}, 1: {"h100-sxm": 4}}
    alias = known["h100-sxm"]
    assert [made.fewest_nodes(alias, count) for count in (1, 4, 5, 8, 9)] == [1, 1, 2, 2, None]
    assert len(list(made.node_sets(alias, 4, 1))) == 2
    assert len(list(made.node_sets(alias, 5, 1))) == 0


def test_gpus_of_no_known_node_are_spread_over_all():
    found = builders.hgx()
    for gpu in found.gpus[4:]:
        found = builders.changed(found, gpu.address, numa_node=None)
    assert gpus(of(found)[0]) == {0: {"h100-sxm": 4}, 1: {"h100-sxm": 4}}


def test_gpus_of_a_node_without_cpus_count_at_the_nearest():
    found = builders.l40s(count=2)
    bare = builders.NumaNode(2, memory_mib=1024, distances=(30, 17, 10))
    nodes = tuple(
        dataclasses.replace(node, distances=distances)
        for node, distances in zip(found.numa_nodes, ((10, 21, 30), (21, 10, 17)), strict=True)
    )
    found = dataclasses.replace(found, numa_nodes=(*nodes, bare))
    found = builders.changed(found, "0000:41:00.0", numa_node=2)
    made, _ = of(found)
    assert gpus(made) == {0: {}, 1: {"l40s": 2}}
    assert [cell.id for cell in made.cells] == [0, 1, 2]


@pytest.mark.parametrize("size", [None, guest_topology.SMALL, guest_topology.ANY])
def test_small_pages_are_all_that_the_host_does_not_keep(size):
    made, _ = of(builders.hgx())
    assert made.nodes[0].ram_mib(size) == 256 * 1024 - 5632
    assert made.nodes[0].ram_mib(guest_topology.LARGE) == 0


def test_pages_of_a_size_that_the_host_has_already():
    (first, second) = builders.nodes()
    first = dataclasses.replace(first, huge_pages=(HugePages(2048, 1000, 1000),))
    made, _ = of(builders.hgx(numa_nodes=(first, second)))
    assert [node.ram_mib(2048) for node in made.nodes] == [2000, 0]
    assert [node.ram_mib(guest_topology.LARGE) for node in made.nodes] == [2000, 0]
    assert made.nodes[0].ram_mib(guest_topology.SMALL) == 256 * 1024 - 2000 - 5632


def test_with_huge_pages_of_the_generator_no_small_ones_are_left():
    made, _ = of(builders.hgx(), settings=FleetSettings(hugepages=True))
    assert made.nodes[0].ram_mib(1024 * 1024) == 250 * 1024
    assert made.nodes[0].ram_mib(guest_topology.SMALL) == 0
