# SPDX-License-Identifier: Apache-2.0
"""Usage of NUMA nodes and hosts, in numbers and as bars."""

import dataclasses

from nova_gpu_passthrough.cloud.report import usage
from nova_gpu_passthrough.cloud.report.usage import NumaUsage, numa_usage
from nova_gpu_passthrough.cloud.view.model import Resource
from nova_gpu_passthrough.nova_rules.host_cell import HostCell, MemoryPages
from tests.unit.cloud.report import fleets

GIB = 1024


def test_reserved_memory_is_not_counted():
    found = numa_usage(fleets.cell(1, pinned=15, used_mib=100 * GIB))
    assert found.id == 1
    assert (found.pinned_total, found.pinned_free) == (60, 45)
    assert (found.shared_total, found.shared_used) == (2, 0)
    assert found.memory_total_mib == (512 - 8) * GIB
    assert found.memory_free_mib == (512 - 8 - 100) * GIB


def test_memory_of_the_page_size_with_most_memory_is_counted():
    cell = HostCell(
        0, 64 * GIB, pages=(MemoryPages(4, 4 * GIB * 256), MemoryPages(GIB * 1024, 60, 10))
    )
    found = numa_usage(cell)
    assert (found.memory_total_mib, found.memory_free_mib) == (60 * GIB, 50 * GIB)


def test_without_pages_the_used_memory_is_subtracted():
    found = numa_usage(HostCell(0, 64 * GIB, used_mib=4 * GIB))
    assert (found.memory_total_mib, found.memory_free_mib) == (64 * GIB, 60 * GIB)


def test_nothing_is_negative():
    cell = fleets.cell(0, used_mib=600 * GIB)
    assert numa_usage(cell).memory_free_mib == 0
    page = MemoryPages(4, 10, 0, 20)
    assert numa_usage(dataclasses.replace(cell, pages=(page,))).memory_total_mib == 0


def test_free_memory_is_that_of_the_numa_cell():
    for used in (0, 1 * GIB, 500 * GIB):
        cell = fleets.cell(0, used_mib=used)
        assert numa_usage(cell).memory_free_mib == cell.as_numa_cell().free_memory_mib


def test_a_node_shows_cpus_for_pinning_and_memory():
    cpu, ram = usage.numa_bars(numa_usage(fleets.cell(0, pinned=15, used_mib=126 * 1024)))
    assert (cpu.name, cpu.percent, cpu.text) == ("CPU", 25.0, "45 of 60 free")
    assert cpu.title == "45 of 60 CPUs for pinning free"
    assert (ram.name, ram.percent, ram.text) == ("RAM (GiB)", 25.0, "378 of 504 free")
    assert ram.title == "378 of 504 GiB of RAM free"


def test_a_node_without_cpus_for_pinning_shows_shared_cpus():
    cpu, _ = usage.numa_bars(NumaUsage(0, 0, 0, 64, 16, 1024, 1024))
    assert (cpu.percent, cpu.title) == (25.0, "48 of 64 shared CPUs free")


def test_overcommitted_cpus_fill_the_bar():
    cpu, _ = usage.numa_bars(NumaUsage(0, 0, 0, 64, 100, 1024, 1024))
    assert (cpu.percent, cpu.text) == (100.0, "0 of 64 free")


def test_a_node_without_resources_has_no_bars():
    assert list(usage.numa_bars(NumaUsage(0, 0, 0, 0, 0, 0, 0))) == []


def test_a_host_shows_its_resources_in_placement():
    host = fleets.hgx("h", (fleets.IN_USE,) * 4 + (fleets.FREE,) * 4, (4,))
    found = {bar.name: bar.text for bar in usage.host_bars(host)}
    assert found == {
        "PCPU": "60 of 120 free",
        "VCPU": "16 of 16 free",
        "RAM (GiB)": "528 of 1008 free",
    }


def test_a_resource_without_capacity_has_no_bar():
    none = {"PCPU": Resource(0), "VCPU": Resource(4, reserved=4)}
    host = dataclasses.replace(fleets.hgx("h"), resources=none)
    assert list(usage.host_bars(host)) == []
