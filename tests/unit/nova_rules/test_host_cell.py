# SPDX-License-Identifier: Apache-2.0
"""Usage of host NUMA cells."""

from nova_gpu_passthrough.nova_rules.host_cell import HostCell, MemoryPages
from nova_gpu_passthrough.topology.model import NumaCell
from tests.unit.nova_rules import host_capacities


def test_a_guest_cell_consumes_cpus_memory_and_pages():
    cell = host_capacities.cell(0, huge=2)
    left = cell.consume(4096, shared=1, pinned={0, 1}, page_size_kib=1048576)
    assert left.free_pinned == cell.free_pinned - {0, 1}
    assert (left.shared_used, left.used_mib) == (1, 4096)
    assert [pages.used for pages in left.pages] == [0, 6]


def test_release_reverses_consume():
    cell = host_capacities.cell(0, pinned=3, used=1024)
    use = (2048, 2, {8, 9}, None)
    assert cell.consume(*use).release(*use) == cell


def test_without_a_page_size_the_smallest_pages_are_used():
    left = host_capacities.cell(0).consume(1)
    assert left.pages[0].used == 256


def test_a_host_without_pages_only_counts_memory():
    left = HostCell(0, 4096).consume(1024)
    assert (left.free_mib, left.pages) == (3072, ())


def test_free_memory_is_that_of_the_page_size_with_the_most():
    cell = HostCell(
        0, 4096, 1, pages=(MemoryPages(4, 262144, reserved=1024), MemoryPages(2048, 1536, 512))
    )
    assert cell.as_numa_cell() == NumaCell(0, 1, 0, 0, 4096, 2048)


def test_free_memory_without_pages_is_what_no_guest_has():
    assert HostCell(0, 4096, used_mib=1024).as_numa_cell().free_memory_mib == 3072
