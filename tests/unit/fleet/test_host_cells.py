# SPDX-License-Identifier: Apache-2.0
"""NUMA cells of an empty host, as the generated nova.conf has nova-compute report them."""

from nova_gpu_passthrough.fleet import host_cells
from nova_gpu_passthrough.fleet.offers import choose
from nova_gpu_passthrough.fleet.settings import Settings
from tests.unit.generate import builders


def cells(found, **settings):
    wanted = Settings(**settings)
    (offer,), _ = choose([found], wanted)
    return host_cells.make(offer, wanted)


def test_cpus_by_use_in_whole_cores():
    first, second = cells(builders.hgx())
    # Eight cores a node, the second threads after all first ones: 0, 1 and 16, 17 are kept.
    assert first.shared == {1, 17}
    assert first.dedicated == {*range(2, 8), *range(18, 24)}
    assert first.siblings[0] == {1, 17}
    assert len(first.siblings) == 7
    assert first.threads == 2
    assert second.dedicated == {*range(10, 16), *range(26, 32)}
    assert (first.socket, second.socket) == (0, 1)


def test_small_pages_less_what_the_host_keeps():
    first, _ = cells(builders.hgx())
    (pages,) = first.pages
    assert pages.size_kib == 4
    assert pages.total * 4 == 256 * 2**20
    assert pages.free_kib == (256 * 1024 - 5632) * 1024


def test_huge_pages_of_the_kernel_command_line():
    first, _ = cells(builders.hgx(), hugepages=True)
    small, huge = first.pages
    assert small.free_kib == 0
    assert (huge.size_kib, huge.total, huge.reserved) == (2**20, 250, 0)


def test_what_is_not_known_is_not_there():
    first, _ = cells(builders.hgx(numa_nodes=builders.nodes(cores=1, memory_mib=0)))
    assert first.dedicated == frozenset()
    # Without cpu_shared_set all CPUs are shared.
    assert first.shared == {0, 2}
    assert first.memory_mib == 0
    assert first.pages == ()
