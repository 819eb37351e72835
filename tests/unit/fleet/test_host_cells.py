# SPDX-License-Identifier: Apache-2.0
"""The resources of an empty host, as nova-compute reports them with the generated nova.conf."""

import dataclasses
from pathlib import Path

import pytest

from nova_gpu_passthrough.files import cpu_list
from nova_gpu_passthrough.fleet import cpu_sets, host_cells, memory
from nova_gpu_passthrough.fleet.flavors import empty_host
from nova_gpu_passthrough.fleet.offers import choose
from nova_gpu_passthrough.fleet.settings import Settings
from nova_gpu_passthrough.generate import compute_options
from nova_gpu_passthrough.inventory import store
from nova_gpu_passthrough.inventory.host import Cpu, HugePages
from tests.unit.generate import builders
from tests.unit.generate.fleets import resolved

EXAMPLES = sorted((Path(__file__).parents[3] / "etc" / "fleet" / "inventories").glob("*.yaml"))
WITHOUT_CORES = tuple(dataclasses.replace(node, cores=()) for node in builders.nodes())
WITH_HUGE_PAGES = tuple(
    dataclasses.replace(node, huge_pages=(HugePages(2048, 100, 100), HugePages(2**20, 0, 0)))
    for node in builders.nodes()
)
HOSTS = {
    **{path.stem: store.load(path) for path in EXAMPLES},
    "hgx": builders.hgx(),
    "l40s": builders.l40s(),
    "without-cores": builders.hgx(numa_nodes=WITHOUT_CORES),
    "huge-pages": builders.hgx(numa_nodes=WITH_HUGE_PAGES),
    "arm": builders.hgx(cpu=Cpu("arm")),
    "odd-memory": builders.hgx(numa_nodes=builders.nodes(memory_mib=200_123)),
    "unknown": builders.hgx(numa_nodes=builders.nodes(cores=1, memory_mib=0)),
}


def report(inventory, **changes):
    settings = Settings(**changes)
    (offer,), _ = choose([inventory], settings)
    return host_cells.make(offer, settings)


def cells(inventory, **changes):
    return report(inventory, **changes).cells


def options(inventory, **changes):
    """Return the generated options of nova-compute."""
    fleet = resolved(inventory, settings=Settings(**changes))
    sections, _ = compute_options.make(fleet.offers[0], fleet.aliases, fleet.settings)
    return {option.name: option.values for section in sections for option in section.options}


def by_nova(inventory, **changes):
    """Return the CPUs and reserved pages of NUMA cells by Nova's rules for the generated options.

    As ``_get_host_numa_topology`` and ``_get_vcpu_available`` in nova/virt/libvirt/driver.py.
    """
    conf = options(inventory, **changes)

    def cpus(name):
        return frozenset(cpu_list.parse(conf.get(name, ("",))[0]))

    online = frozenset().union(*(cpu_list.parse(node.cpus) for node in inventory.numa_nodes))
    dedicated_set, shared_set = cpus("cpu_dedicated_set"), cpus("cpu_shared_set")
    shared = shared_set or (frozenset() if dedicated_set else online)
    dedicated = dedicated_set if dedicated_set or shared_set else shared
    reserved = {}
    for text in conf.get("reserved_huge_pages", ()):
        page = dict(item.split(":") for item in text.split(","))
        reserved[int(page["node"]), int(page["size"])] = int(page["count"])
    found = []
    for node in inventory.numa_nodes:
        all_cpus = frozenset(cpu_list.parse(node.cpus))
        found.append((node.id, shared & all_cpus, dedicated & all_cpus))
    return found, reserved, len(shared), len(dedicated_set)


@pytest.mark.parametrize(
    "changes", [{}, {"host_cores": 3}, {"hugepages": True}], ids=["default", "cores", "hugepages"]
)
@pytest.mark.parametrize("name", HOSTS)
def test_cells_are_those_of_nova_with_the_generated_options(name, changes):
    found = report(HOSTS[name], **changes)
    expected, reserved, vcpus, pcpus = by_nova(HOSTS[name], **changes)
    assert [(cell.id, cell.shared, cell.dedicated) for cell in found.cells] == expected
    assert (found.vcpus, found.pcpus) == (vcpus, pcpus)
    for cell, node in zip(found.cells, HOSTS[name].numa_nodes, strict=True):
        assert cell.memory_mib == node.memory_mib
        assert sum(pages.total_kib for pages in cell.pages) == node.memory_mib * 1024
        for pages in cell.pages:
            assert pages.reserved == reserved.get((cell.id, pages.size_kib), 0)


@pytest.mark.parametrize("hugepages", [False, True])
@pytest.mark.parametrize("name", HOSTS)
def test_flavors_are_planned_for_the_same_host_with_rounded_memory(name, hugepages):
    settings = Settings(hugepages=hugepages)
    fleet = resolved(HOSTS[name], settings=settings)
    (offer,) = fleet.offers
    empty = empty_host.make(offer, fleet.aliases, settings)
    found = host_cells.make(memory.with_rounded_nodes(offer), settings)
    assert empty.capacity.cells == empty.layout.resources.cells == found.cells
    if name != "odd-memory":
        assert found == host_cells.make(offer, settings)
    amounts = empty.capacity.amounts
    assert (amounts["PCPU"].capacity, amounts["VCPU"].max_unit) == (found.pcpus, found.vcpus)
    assert amounts["MEMORY_MB"].capacity == found.memory_mib - (found.reserved_mib or 0)


def test_cpus_by_use_in_whole_cores():
    first, second = cells(builders.hgx())
    # Eight cores for each node; the second threads are numbered after all first threads.
    assert first.shared == {1, 17}
    assert first.dedicated == {*range(2, 8), *range(18, 24)}
    assert first.siblings[0] == {1, 17}
    assert len(first.siblings) == 7
    assert first.threads == 2
    assert second.dedicated == {*range(10, 16), *range(26, 32)}
    assert (first.socket, second.socket) == (0, 1)


def test_small_pages_without_those_that_the_host_keeps():
    first, _ = cells(builders.hgx())
    (pages,) = first.pages
    assert pages.size_kib == 4
    assert pages.total * 4 == 256 * 2**20
    assert pages.free_kib == (256 * 1024 - 5632) * 1024


def test_planned_huge_pages_are_for_servers():
    first, _ = cells(builders.hgx(), hugepages=True)
    small, huge = first.pages
    assert small.free_kib == 0
    assert (huge.size_kib, huge.total, huge.reserved) == (2**20, 250, 0)
    assert first.as_numa_cell().free_memory_mib == 250 * 1024


def test_planned_huge_pages_replace_those_of_the_inventory():
    first, _ = cells(HOSTS["huge-pages"], hugepages=True)
    assert [(pages.size_kib, pages.total) for pages in first.pages[1:]] == [(2048, 0), (2**20, 250)]


def test_huge_pages_of_the_inventory_reduce_the_small_ones():
    for cell in cells(HOSTS["huge-pages"]):
        small, *huge = cell.pages
        assert [(pages.size_kib, pages.total) for pages in huge] == [(2048, 100), (2**20, 0)]
        assert small.total * 4 == cell.memory_mib * 1024 - 2048 * 100


def test_other_processors_reserve_no_pages():
    found = report(HOSTS["arm"])
    assert "reserved_huge_pages" not in options(HOSTS["arm"])
    assert found.reserved_mib == 11 * 1024
    assert {pages.reserved for cell in found.cells for pages in cell.pages} == {0}
    assert found.cells[0].as_numa_cell().free_memory_mib == 256 * 1024


def test_without_known_cores_any_cpu_is_shared_or_pinned():
    (offer,), _ = choose([HOSTS["without-cores"]], Settings())
    assert cpu_sets.propose(offer, None) is None
    found = host_cells.make(offer, Settings())
    for cell in found.cells:
        assert cell.shared == cell.dedicated == set(cpu_list.parse(WITHOUT_CORES[cell.id].cpus))
        assert cell.siblings == tuple(frozenset((cpu,)) for cpu in sorted(cell.shared))
    assert (found.pcpus, found.vcpus) == (0, 32)


def test_unknown_memory_is_missing():
    found = report(HOSTS["unknown"])
    assert found.cells[0].shared == found.cells[0].dedicated == {0, 2}
    assert (found.cells[0].memory_mib, found.cells[0].pages) == (0, ())
    assert found.reserved_mib is None


def test_cells_are_sorted_by_id():
    inventory = builders.hgx(numa_nodes=builders.nodes()[::-1])
    assert [cell.id for cell in cells(inventory)] == [0, 1]


def test_cores_have_only_cpus_of_the_cpu_sets():
    first, _ = cells(builders.hgx(numa_nodes=builders.nodes(threads=4)), host_cores=2)
    assert frozenset().union(*first.siblings) == first.shared | first.dedicated
    assert {len(core) for core in first.siblings} == {4}


def test_invalid_cpu_lists_are_empty():
    nodes = tuple(dataclasses.replace(node, cpus="x", cores=("y",)) for node in builders.nodes())
    for cell in cells(builders.hgx(numa_nodes=nodes)):
        assert not (cell.shared or cell.dedicated or cell.siblings)
