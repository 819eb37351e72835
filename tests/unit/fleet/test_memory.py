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


def test_the_host_keeps_two_percent_but_at_least_eight_gib():
    assert plan(builders.hgx()).reserved_mib == 11 * GIB
    assert (
        plan(builders.hgx(numa_nodes=builders.nodes(memory_mib=64 * GIB))).reserved_mib == 8 * GIB
    )
    small = builders.hgx(numa_nodes=builders.nodes(memory_mib=1000))
    assert plan(small).reserved_mib == 480


def test_each_node_keeps_its_share():
    nodes = (NumaNode(0, memory_mib=100 * GIB), NumaNode(1, memory_mib=300 * GIB))
    found = plan(builders.hgx(numa_nodes=nodes), reserved=8 * GIB)
    assert found.reserved_by_node == {0: 2 * GIB, 1: 6 * GIB}
    assert found.kernel_options == ()


def test_huge_pages_are_all_memory_that_the_host_does_not_keep():
    found = plan(builders.hgx(), reserved=16 * GIB, hugepages=True)
    assert found.huge_pages == {0: 248, 1: 248}
    assert found.reserved_mib == 16 * GIB
    assert found.kernel_options == (
        "default_hugepagesz=1G",
        "hugepagesz=1G",
        "hugepages=496",
    )


def test_nearly_equal_nodes_get_the_same_number_of_pages():
    nodes = (NumaNode(0, memory_mib=257_000), NumaNode(1, memory_mib=258_040))
    found = plan(builders.hgx(numa_nodes=nodes), hugepages=True)
    assert len(set(found.huge_pages.values())) == 1
    # The host keeps all memory that is not in huge pages.
    assert found.reserved_mib == (250 + 251) * GIB - sum(found.huge_pages.values()) * GIB


def test_a_difference_of_a_few_mib_changes_nothing():
    first, second = (
        plan(builders.hgx(numa_nodes=builders.nodes(memory_mib=mib))) for mib in (257_400, 257_700)
    )
    assert first == second


def test_unequal_nodes_have_their_own_numbers_on_the_command_line():
    nodes = (NumaNode(0, memory_mib=100 * GIB), NumaNode(1, memory_mib=200 * GIB))
    found = plan(builders.hgx(numa_nodes=nodes), reserved=9 * GIB, hugepages=True)
    assert found.kernel_options[-1] == "hugepages=0:97,1:194"


def test_unknown_memory_gives_no_plan():
    assert plan(builders.hgx(numa_nodes=())) is None


def test_there_are_no_huge_pages_on_arm():
    assert plan(builders.hgx(cpu=Cpu("arm")), hugepages=True).huge_pages == {}


def test_the_host_cannot_reserve_more_than_its_memory():
    found = plan(builders.hgx(), reserved=10**9, hugepages=True)
    assert found.reserved_mib == 512 * GIB
    assert found.huge_pages == {}
