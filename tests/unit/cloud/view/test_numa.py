# SPDX-License-Identifier: Apache-2.0
"""NUMA nodes as generated, less what servers have."""

import dataclasses

import pytest

from nova_gpu_passthrough.cloud.view import numa
from nova_gpu_passthrough.cloud.view.model import CellUse, Resource, Server
from nova_gpu_passthrough.files import cpu_list
from nova_gpu_passthrough.fleet import cpu_sets, memory
from nova_gpu_passthrough.fleet.settings import Settings
from nova_gpu_passthrough.generate import compute_options
from nova_gpu_passthrough.inventory.host import Cpu, HugePages
from tests.unit.cloud import clouds
from tests.unit.generate import builders

_USUAL = Settings()


def layout(settings=_USUAL, **changes):
    resolved = clouds.fleet(builders.hgx("hgx1", **changes), settings=settings)
    return numa.layout(resolved.offers[0], settings), resolved


def server(*uses, **changes):
    return Server("s1", "s", "ACTIVE", "p", "hgx1", "f", 4, 1, cells=uses, **changes)


def options(resolved):
    sections, _ = compute_options.make(resolved.offers[0], resolved.aliases, resolved.settings)
    return {option.name: option.values for section in sections for option in section.options}


@pytest.mark.parametrize("settings", [Settings(), Settings(host_cores=3), Settings(hugepages=True)])
def test_cpus_are_those_of_the_generated_nova_conf(settings):
    whole, resolved = layout(settings)
    found = options(resolved)
    for name, key in (("dedicated", "cpu_dedicated_set"), ("shared", "cpu_shared_set")):
        cpus = {cpu for cell in whole.cells for cpu in getattr(cell, name)}
        assert found[key] == (cpu_list.to_text(cpus),)


def test_small_pages_that_nova_conf_reserves_are_not_free():
    whole, resolved = layout()
    for cell, text in zip(whole.cells, options(resolved)["reserved_huge_pages"], strict=True):
        (small,) = cell.pages
        assert f"node:{cell.id},size:{small.size_kib},count:{small.reserved}" == text
        assert small.total * 4 == cell.memory_mib * 1024


def test_planned_huge_pages_are_what_servers_get():
    whole, resolved = layout(Settings(hugepages=True))
    plan = memory.plan(resolved.offers[0], None, True)
    for cell in whole.cells:
        small, huge = cell.pages
        assert (huge.size_kib, huge.total) == (2**20, plan.huge_pages[cell.id])
        assert small.total * 4 + huge.total * 2**20 == cell.memory_mib * 1024
        assert cell.as_numa_cell().free_memory_mib == huge.total * 1024


def test_huge_pages_of_the_inventory_are_no_small_ones():
    nodes = [
        dataclasses.replace(node, huge_pages=(HugePages(2048, 100, 100),))
        for node in builders.nodes()
    ]
    whole, _ = layout(numa_nodes=tuple(nodes))
    for cell in whole.cells:
        small, huge = cell.pages
        assert (huge.size_kib, huge.total) == (2048, 100)
        assert small.total * 4 == cell.memory_mib * 1024 - 2048 * 100


def test_other_processors_reserve_no_pages():
    whole, resolved = layout(cpu=Cpu("arm"))
    assert "reserved_huge_pages" not in options(resolved)
    assert {cell.pages for cell in whole.cells} == {()}
    assert whole.cells[0].as_numa_cell().free_memory_mib == whole.cells[0].memory_mib


def test_without_known_cores_any_cpu_is_shared_or_pinned():
    nodes = tuple(dataclasses.replace(node, cores=()) for node in builders.nodes())
    whole, resolved = layout(numa_nodes=nodes)
    assert cpu_sets.propose(resolved.offers[0], None) is None
    for cell in whole.cells:
        assert cell.shared == cell.dedicated == set(cpu_list.parse(nodes[cell.id].cpus))
    assert whole.totals == {"PCPU": 0, "VCPU": 32}


def test_servers_take_cpus_and_pages_of_their_nodes():
    whole, _ = layout()
    pinned = frozenset(sorted(whole.cells[0].dedicated)[:3])
    small = server(CellUse(0, 1024, 4, pinned, 4), CellUse(1, 512, 2))
    first, second = numa.left(whole, [small])
    assert first.free_pinned == whole.cells[0].dedicated - pinned
    assert (first.shared_used, second.shared_used) == (1, 2)
    assert first.pages[0].used == 1024 * 256
    assert second.pages[0].used == 512 * 256
    assert second.free_pinned == whole.cells[1].dedicated


def test_isolated_threads_take_their_whole_cores():
    whole, _ = layout()
    core = next(core for core in whole.cores if core <= whole.cells[0].dedicated)
    use = CellUse(0, 64, 1, frozenset([min(core)]))
    by_flavor = server(use, extra_specs={"hw:cpu_thread_policy": "isolate"})
    by_image = server(use, image_properties={"hw_cpu_thread_policy": "isolate"})
    for one in (by_flavor, by_image):
        assert numa.left(whole, [one])[0].pinned == core
    assert numa.left(whole, [server(use)])[0].pinned == {min(core)}


def test_a_node_that_the_inventory_lacks_is_passed_over():
    whole, _ = layout()
    assert numa.left(whole, [server(CellUse(7, 64, 1))]) == whole.cells


def test_placement_as_generated_does_not_disagree():
    whole, _ = layout()
    resources = {name: Resource(total) for name, total in whole.totals.items()}
    resources["MEMORY_MB"] = Resource(512 * 1024, whole.reserved_mib)
    assert list(numa.disagreements(whole, resources)) == []
    assert not numa.memory_disagrees(whole, resources)


def test_disagreements_have_both_numbers():
    whole, _ = layout()
    found = list(numa.disagreements(whole, {"PCPU": Resource(1), "MEMORY_MB": Resource(9, 2)}))
    assert found[0] == f"1 PCPU in Placement, {whole.totals['PCPU']} by inventory and fleet file"
    assert found[1].startswith("0 VCPU in Placement")
    assert found[2].startswith("2 MiB reserved in Placement")
    assert numa.memory_disagrees(whole, {"MEMORY_MB": Resource(9)})


def test_lists_that_are_none_have_no_cpus():
    nodes = tuple(dataclasses.replace(node, cpus="x", cores=("y",)) for node in builders.nodes())
    whole, _ = layout(numa_nodes=nodes)
    assert whole.cores == ()
    assert not any(cell.shared or cell.dedicated for cell in whole.cells)
