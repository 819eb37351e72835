# SPDX-License-Identifier: Apache-2.0
from nova_gpu_passthrough.nova_rules.host_cell import HostCell, Pages
from nova_gpu_passthrough.topology.model import NumaCell
from tests.unit.nova_rules import host_capacities


def test_what_a_guests_cell_takes_is_gone():
    cell = host_capacities.cell(0, huge=2)
    left = cell.with_use(4096, shared=1, pinned={0, 1}, page_size_kib=1048576)
    assert left.free_pinned == cell.free_pinned - {0, 1}
    assert (left.shared_used, left.used_mib) == (1, 4096)
    assert [pages.used for pages in left.pages] == [0, 6]


def test_and_is_back_once_the_guest_is_gone():
    cell = host_capacities.cell(0, pinned=3, used=1024)
    use = (2048, 2, {8, 9}, None)
    assert cell.with_use(*use).without_use(*use) == cell


def test_without_a_page_size_the_smallest_pages_are_taken():
    left = host_capacities.cell(0).with_use(1)
    assert left.pages[0].used == 256


def test_a_host_without_pages_counts_memory_alone():
    left = HostCell(0, 4096).with_use(1024)
    assert (left.free_mib, left.pages) == (3072, ())


def test_memory_for_the_filter_is_that_of_the_best_pages():
    cell = HostCell(0, 4096, 1, pages=(Pages(4, 262144, reserved=1024), Pages(2048, 1536, 512)))
    assert cell.as_numa_cell() == NumaCell(0, 1, 0, 0, 4096, 2048)


def test_and_without_pages_what_no_guest_has():
    assert HostCell(0, 4096, used_mib=1024).as_numa_cell().free_memory_mib == 3072
