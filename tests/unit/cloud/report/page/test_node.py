# SPDX-License-Identifier: Apache-2.0
"""What NUMA nodes have left, in numbers."""

import dataclasses

from nova_gpu_passthrough.cloud.report.page.node import room
from nova_gpu_passthrough.nova_rules.host_cell import HostCell, Pages
from tests.unit.cloud.report import fleets

GIB = 1024


def test_what_the_host_keeps_is_nobodys():
    found = room(fleets.cell(1, pinned=15, used_mib=100 * GIB))
    assert found.id == 1
    assert (found.pinned_total, found.pinned_free) == (60, 45)
    assert (found.shared_total, found.shared_used) == (2, 0)
    assert found.memory_total_mib == (512 - 8) * GIB
    assert found.memory_free_mib == (512 - 8 - 100) * GIB


def test_memory_in_huge_pages_counts_where_most_is():
    cell = HostCell(0, 64 * GIB, pages=(Pages(4, 4 * GIB * 256), Pages(GIB * 1024, 60, 10)))
    found = room(cell)
    assert (found.memory_total_mib, found.memory_free_mib) == (60 * GIB, 50 * GIB)


def test_without_pages_the_usage_counts():
    found = room(HostCell(0, 64 * GIB, used_mib=4 * GIB))
    assert (found.memory_total_mib, found.memory_free_mib) == (64 * GIB, 60 * GIB)


def test_nothing_is_negative():
    cell = fleets.cell(0, used_mib=600 * GIB)
    assert room(cell).memory_free_mib == 0
    page = Pages(4, 10, 0, 20)
    assert room(dataclasses.replace(cell, pages=(page,))).memory_total_mib == 0


def test_free_memory_is_what_nova_sees():
    for used in (0, 1 * GIB, 500 * GIB):
        cell = fleets.cell(0, used_mib=used)
        assert room(cell).memory_free_mib == cell.as_numa_cell().free_memory_mib
