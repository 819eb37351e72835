# SPDX-License-Identifier: Apache-2.0
"""NUMA nodes, huge pages and the nodes of GPUs."""

import dataclasses

import pytest

from nova_gpu_passthrough.host.checks.numa import check
from nova_gpu_passthrough.inventory.host import HugePages, NumaNode
from tests.unit.audited import HGX, audit_machine, changed, only

GPU = "0000:18:00.0"


def _nodes(*nodes):
    return dataclasses.replace(audit_machine(HGX), numa_nodes=nodes)


def _node(number, cpus="0-3", memory=1024, pages=()):
    return NumaNode(number, cpus=cpus, memory_mib=memory, huge_pages=pages)


def _of(inventory, address):
    return [finding.id for finding in check(inventory) if finding.subject == address]


def test_nodes_are_reported_with_cpus_memory_and_huge_pages():
    pages = (HugePages(2048, 0, 0), HugePages(1048576, 900, 900))
    inventory = _nodes(_node(0, pages=pages), _node(1, "", 0))
    found = [finding.found for finding in check(inventory) if finding.id == "numa.node"]
    assert found == [
        "node 0: CPUs 0-3, 1024 MiB, huge pages 900 of 1024 MiB",
        "node 1: CPUs none, 0 MiB, huge pages none",
    ]


def test_a_gpu_on_a_node():
    assert _of(audit_machine(HGX), GPU) == ["numa.gpu"]


def test_a_gpu_without_a_node_among_several():
    inventory = changed(audit_machine(HGX), GPU, numa_node=None)
    assert _of(inventory, GPU) == ["numa.gpu_without_node"]


def test_a_gpu_without_a_node_on_a_host_with_one():
    inventory = dataclasses.replace(
        changed(audit_machine(HGX), GPU, numa_node=None), numa_nodes=(_node(0),)
    )
    assert _of(inventory, GPU) == ["numa.gpu"]


@pytest.mark.parametrize(("cpus", "memory"), [("", 1024), ("0-3", 0)])
def test_a_gpu_on_a_node_without_cpus_or_memory(cpus, memory):
    assert _of(_nodes(_node(0, cpus, memory), _node(1)), GPU) == [
        "numa.node_without_cpus_or_memory"
    ]


def test_a_kernel_without_numa():
    inventory = _nodes()
    assert [finding.id for finding in check(inventory)] == ["numa.unknown"]
    assert list(check(dataclasses.replace(inventory, gpus=()))) == []


def test_one_pool_of_huge_pages_is_enough():
    none, some = (HugePages(2048, 0, 0),), (HugePages(2048, 100, 0),)
    ids = [finding.id for finding in check(_nodes(_node(0, pages=none), _node(1, pages=none)))]
    assert "hugepages.none" in ids
    ids = [finding.id for finding in check(_nodes(_node(0, pages=none), _node(1, pages=some)))]
    assert "hugepages.none" not in ids


def test_unknown_huge_pages_are_no_warning():
    assert "hugepages.none" not in [finding.id for finding in check(_nodes(_node(0), _node(1)))]


def test_the_source_names_the_file():
    finding = only([f for f in check(audit_machine(HGX)) if f.subject == GPU], "numa.gpu")
    assert finding.source == f"/sys/bus/pci/devices/{GPU}/numa_node"
