# SPDX-License-Identifier: Apache-2.0
"""Shares of a host, calculated by hand."""

from fractions import Fraction

import pytest

from nova_gpu_passthrough.fleet.flavors import host_layout, shares
from nova_gpu_passthrough.fleet.flavors.shares import CellShare, ServerShape
from nova_gpu_passthrough.nova_rules import guest_topology
from tests.unit.generate import builders
from tests.unit.generate.fleets import resolved


def host(counts, cores=8, **changes):
    """Return an inventory with these numbers of GPUs on its NUMA nodes."""
    nodes = [node for node, count in enumerate(counts) for _ in range(count)]
    devices = [
        builders.device(f"0000:{0x20 + n:02x}:00.0", numa_node=node) for n, node in enumerate(nodes)
    ]
    gpus = [builders.gpu(device.address) for device in devices]
    numa = builders.nodes(len(counts), cores)
    return builders.inventory("h", devices, gpus, **{"numa_nodes": numa, **changes})


def share(found, count, cells, pinned=True):
    fleet = resolved(found)
    (offer,) = fleet.offers
    (alias,) = fleet.aliases.values()
    layout = host_layout.make(offer, fleet.aliases, fleet.settings)
    return shares.cell_share(layout, ServerShape(alias, count, cells, pinned, guest_topology.SMALL))


@pytest.mark.parametrize(
    "counts, count, cells, vcpus",
    [
        # If every node has GPUs, 6 of 8 cores with 2 threads are for pinning.
        ((4, 4), 1, 1, 3),
        ((4, 4), 4, 1, 12),
        ((4, 4), 8, 2, 12),
        ((4, 4), 6, 2, 9),
        # The node with the most GPUs limits small servers; one with all GPUs gets the whole host.
        ((3, 5), 1, 1, Fraction(12, 5)),
        ((3, 5), 4, 1, Fraction(48, 5)),
        ((3, 5), 8, 2, 12),
        ((2, 2, 2, 2), 4, 2, 12),
        ((2, 2, 2, 2), 8, 4, 12),
        # Two cells for one GPU share its part.
        ((4, 4), 1, 2, Fraction(12, 8)),
    ],
)
def test_vcpus_of_a_cell(counts, count, cells, vcpus):
    assert share(host(counts), count, cells).vcpus == vcpus


def test_there_is_no_share_with_too_few_gpus_or_nodes():
    assert share(host((4, 4)), 5, 1) is None
    assert share(host((4, 4)), 8, 3) is None


def test_shared_vcpus_are_shares_of_shared_cpus():
    assert share(host((4, 4)), 4, 1, pinned=False).vcpus == 2


def test_gpus_of_other_models_keep_their_share():
    found = host((4, 4))
    gpus = tuple(
        builders.gpu(gpu.address, "L40S" if n % 2 else "H100-SXM")
        for n, gpu in enumerate(found.gpus)
    )
    for n, gpu in enumerate(gpus):
        if n % 2:
            found = builders.changed(found, gpu.address, product_id="26b9")
    found = builders.dataclasses.replace(found, gpus=gpus)
    fleet = resolved(found)
    layout = host_layout.make(fleet.offers[0], fleet.aliases, fleet.settings)
    for alias in fleet.aliases.values():
        shape = ServerShape(alias, 2, 1, True, guest_topology.SMALL)
        assert shares.cell_share(layout, shape).vcpus == 6


@pytest.mark.parametrize(
    "value, threads, vcpus",
    [(Fraction(7), 2, 6), (Fraction(13, 2), 2, 6), (Fraction(1), 2, 1), (Fraction(1, 2), 2, 0)],
)
def test_vcpus_are_whole_cores_if_the_share_has_one(value, threads, vcpus):
    assert shares.vcpus([CellShare(value, Fraction(0))], threads) == vcpus


@pytest.mark.parametrize("mib, rounded", [(2047, 1024), (1023, 960), (63, 0), (10240, 10240)])
def test_memory_is_whole_gib_if_the_share_has_one(mib, rounded):
    assert shares.round_mib(mib) == rounded


def test_the_smallest_host_decides():
    given = [CellShare(Fraction(8), Fraction(4096)), CellShare(Fraction(6), Fraction(9000))]
    assert shares.vcpus(given, 2) == 6
    assert shares.ram_mib(given) == 4096
    assert shares.vcpus([], 2) == shares.ram_mib([]) == 0


def cells(*hosts, count):
    fleet = resolved(*(builders.dataclasses.replace(h, host=f"h{n}") for n, h in enumerate(hosts)))
    (alias,) = fleet.aliases.values()
    layouts = [host_layout.make(offer, fleet.aliases, fleet.settings) for offer in fleet.offers]
    return shares.cell_count(layouts, alias, count, pinned=True)


def test_the_number_of_cells_is_that_of_the_most_hosts():
    assert cells(host((4, 4)), count=4) == 1
    assert cells(host((4, 4)), count=8) == 2
    # One NUMA node for eight GPUs cannot hold two cells of a server.
    assert cells(host((8,)), host((4, 4)), host((4, 4)), count=8) == 2
    assert cells(host((8,)), host((8,)), host((4, 4)), count=8) == 1
    # A node without GPUs has only shared CPUs.
    assert cells(host((8, 0)), host((8,)), host((4, 4)), count=8) == 1
