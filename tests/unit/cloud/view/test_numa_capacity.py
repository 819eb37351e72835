# SPDX-License-Identifier: Apache-2.0
"""The free part of NUMA nodes, and differences between Placement and the generated nova.conf."""

from nova_gpu_passthrough.cloud.view import numa_capacity
from nova_gpu_passthrough.cloud.view.model import CellUse, Resource, Server
from nova_gpu_passthrough.fleet import host_cells
from nova_gpu_passthrough.fleet.settings import Settings
from tests.unit.cloud import clouds
from tests.unit.generate import builders

_USUAL = Settings()


def capacity(settings=_USUAL, **changes):
    resolved = clouds.fleet(builders.hgx("hgx1", **changes), settings=settings)
    return host_cells.make(resolved.offers[0], settings)


def server(*uses, **changes):
    return Server("s1", "s", "ACTIVE", "p", "hgx1", "f", 4, 1, cells=uses, **changes)


def test_servers_use_cpus_and_pages_of_their_nodes():
    whole = capacity()
    pinned = frozenset(sorted(whole.cells[0].dedicated)[:3])
    small = server(CellUse(0, 1024, 4, pinned, 4), CellUse(1, 512, 2))
    first, second = numa_capacity.free_cells(whole, [small])
    assert first.free_pinned == whole.cells[0].dedicated - pinned
    assert (first.shared_used, second.shared_used) == (1, 2)
    assert first.pages[0].used == 1024 * 256
    assert second.pages[0].used == 512 * 256
    assert second.free_pinned == whole.cells[1].dedicated


def test_isolated_threads_use_whole_cores():
    whole = capacity()
    core = next(core for core in whole.cells[0].siblings if core <= whole.cells[0].dedicated)
    use = CellUse(0, 64, 1, frozenset([min(core)]))
    by_flavor = server(use, extra_specs={"hw:cpu_thread_policy": "isolate"})
    by_image = server(use, image_properties={"hw_cpu_thread_policy": "isolate"})
    for one in (by_flavor, by_image):
        assert numa_capacity.free_cells(whole, [one])[0].pinned == core
    assert numa_capacity.free_cells(whole, [server(use)])[0].pinned == {min(core)}


def test_a_node_that_is_not_in_the_inventory_is_ignored():
    whole = capacity()
    assert numa_capacity.free_cells(whole, [server(CellUse(7, 64, 1))]) == whole.cells


def test_placement_with_the_generated_nova_conf_does_not_differ():
    whole = capacity()
    resources = {
        "PCPU": Resource(whole.pcpus),
        "VCPU": Resource(whole.vcpus),
        "MEMORY_MB": Resource(512 * 1024, whole.reserved_mib),
    }
    assert list(numa_capacity.placement_differences(whole, resources)) == []
    assert not numa_capacity.memory_differs(whole, resources)


def test_differences_contain_both_numbers():
    whole = capacity()
    found = list(
        numa_capacity.placement_differences(
            whole, {"PCPU": Resource(1), "MEMORY_MB": Resource(9, 2)}
        )
    )
    assert found[0] == f"1 PCPU in Placement, {whole.pcpus} by inventory and fleet file"
    assert found[1].startswith("0 VCPU in Placement")
    assert found[2].startswith("2 MiB reserved in Placement")
    assert numa_capacity.memory_differs(whole, {"MEMORY_MB": Resource(9)})
