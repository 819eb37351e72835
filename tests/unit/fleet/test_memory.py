# SPDX-License-Identifier: Apache-2.0
from nova_gpu_passthrough.fleet import memory
from nova_gpu_passthrough.fleet.offers import choose
from nova_gpu_passthrough.fleet.settings import Settings
from nova_gpu_passthrough.inventory.host import Cpu, NumaNode
from tests.unit.generate import builders

GIB = 1024


def plan(found, reserved=None, hugepages=False):
    (offer,), _ = choose([found], Settings())
    return memory.plan(offer, reserved, hugepages)


def test_two_percent_but_at_least_eight_gib():
    assert plan(builders.hgx()).reserved_mib == 11 * GIB
    assert (
        plan(builders.hgx(numa_nodes=builders.nodes(memory_mib=64 * GIB))).reserved_mib == 8 * GIB
    )
    small = builders.hgx(numa_nodes=builders.nodes(memory_mib=1000))
    assert plan(small).reserved_mib == 480


def test_nodes_keep_their_share():
    nodes = (NumaNode(0, memory_mib=100 * GIB), NumaNode(1, memory_mib=300 * GIB))
    found = plan(builders.hgx(numa_nodes=nodes), reserved=8 * GIB)
    assert found.reserved_by_node == {0: 2 * GIB, 1: 6 * GIB}
    assert found.kernel_options == ()


def test_huge_pages_take_what_the_host_does_not_keep():
    found = plan(builders.hgx(), reserved=16 * GIB, hugepages=True)
    assert found.huge_pages == {0: 248, 1: 248}
    assert found.reserved_mib == 16 * GIB
    assert found.kernel_options == (
        "default_hugepagesz=1G",
        "hugepagesz=1G",
        "hugepages=496",
    )


def test_nodes_that_are_nearly_alike_get_the_same_pages():
    nodes = (NumaNode(0, memory_mib=257_000), NumaNode(1, memory_mib=258_040))
    found = plan(builders.hgx(numa_nodes=nodes), hugepages=True)
    assert len(set(found.huge_pages.values())) == 1
    # Whatever is not in huge pages is small pages, which the host keeps.
    assert found.reserved_mib == (250 + 251) * GIB - sum(found.huge_pages.values()) * GIB


def test_a_few_mib_more_or_less_change_nothing():
    first, second = (
        plan(builders.hgx(numa_nodes=builders.nodes(memory_mib=mib))) for mib in (257_400, 257_700)
    )
    assert first == second


def test_unequal_nodes_are_told_apart_on_the_command_line():
    nodes = (NumaNode(0, memory_mib=100 * GIB), NumaNode(1, memory_mib=200 * GIB))
    found = plan(builders.hgx(numa_nodes=nodes), reserved=9 * GIB, hugepages=True)
    assert found.kernel_options[-1] == "hugepages=0:97,1:194"


def test_unknown_memory_gives_no_plan():
    assert plan(builders.hgx(numa_nodes=())) is None


def test_no_huge_pages_where_their_sizes_differ():
    assert plan(builders.hgx(cpu=Cpu("arm")), hugepages=True).huge_pages == {}


def test_the_operator_cannot_reserve_more_than_there_is():
    found = plan(builders.hgx(), reserved=10**9, hugepages=True)
    assert found.reserved_mib == 512 * GIB
    assert found.huge_pages == {}
