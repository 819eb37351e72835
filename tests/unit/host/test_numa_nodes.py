# SPDX-License-Identifier: Apache-2.0
"""Reading NUMA nodes from complete, missing and garbled files."""

import pytest

from nova_gpu_passthrough.host import numa_nodes
from nova_gpu_passthrough.host.root import Root

NODES = "sys/devices/system/node"
CPUS = "sys/devices/system/cpu"


@pytest.fixture
def host(tmp_path):
    (tmp_path / "sys").mkdir()
    return tmp_path


def _write(host, path, text):
    (host / path).parent.mkdir(parents=True, exist_ok=True)
    (host / path).write_text(text)


def _node(host, number, cpus="0-1\n", kib=1024):
    _write(host, f"{NODES}/node{number}/cpulist", cpus)
    _write(host, f"{NODES}/node{number}/meminfo", f"Node {number} MemTotal:  {kib} kB\n")


def test_nodes_are_in_the_order_of_their_numbers(host):
    for number in (10, 2, 0):
        _node(host, number)
    _write(host, f"{NODES}/node_x/cpulist", "1")
    assert [node.id for node in numa_nodes.read_nodes(Root(host))] == [0, 2, 10]


def test_a_kernel_without_numa_has_no_nodes(host):
    assert numa_nodes.read_nodes(Root(host)) == ()


def test_cores_are_listed_by_their_threads(host):
    _node(host, 0, "0-3\n")
    for cpu, siblings in enumerate(("0,2", "1,3", "0,2", "1,3")):
        _write(host, f"{CPUS}/cpu{cpu}/topology/thread_siblings_list", f"{siblings}\n")
    _write(host, f"{CPUS}/cpu0/topology/physical_package_id", "1\n")
    (node,) = numa_nodes.read_nodes(Root(host))
    assert node.cores == ("0,2", "1,3")
    assert node.socket == 1


def test_without_topology_every_cpu_is_a_core(host):
    _node(host, 0, "0-2\n")
    (node,) = numa_nodes.read_nodes(Root(host))
    assert node.cores == ("0", "1", "2")
    assert node.socket is None


def test_a_node_of_memory_only(host):
    _node(host, 1, "\n", kib=8 * 1024 * 1024)
    (node,) = numa_nodes.read_nodes(Root(host))
    assert (node.cpus, node.cores, node.memory_mib) == ("", (), 8192)
    assert node.socket is None


def test_huge_pages_in_the_order_of_their_size(host):
    _node(host, 0)
    for size, total, free in ((1048576, 16, 4), (2048, 100, 90)):
        pool = f"{NODES}/node0/hugepages/hugepages-{size}kB"
        _write(host, f"{pool}/nr_hugepages", f"{total}\n")
        _write(host, f"{pool}/free_hugepages", f"{free}\n")
    _write(host, f"{NODES}/node0/hugepages/other", "")
    (node,) = numa_nodes.read_nodes(Root(host))
    assert [(p.size_kib, p.total, p.free) for p in node.huge_pages] == [
        (2048, 100, 90),
        (1048576, 16, 4),
    ]


@pytest.mark.parametrize(
    ("name", "text", "attribute", "empty"),
    [
        ("cpulist", "no list", "cpus", ""),
        ("cpulist", "0-999999999", "cpus", ""),
        ("distance", "10 x", "distances", ()),
        ("distance", "10 100000000000", "distances", ()),
    ],
)
def test_a_garbled_file_is_reported_and_its_fact_is_missing(host, name, text, attribute, empty):
    _node(host, 0)
    _write(host, f"{NODES}/node0/{name}", text)
    root = Root(host)
    (node,) = numa_nodes.read_nodes(root)
    assert getattr(node, attribute) == empty
    assert node.memory_mib == 1
    (finding,) = root.findings()
    assert finding.source == f"/{NODES}/node0/{name}"


@pytest.mark.parametrize("text", ["", "MemTotal: x kB", "MemTotal: " + "9" * 5000 + " kB"])
def test_garbled_memory_is_zero(host, text):
    _node(host, 0)
    _write(host, f"{NODES}/node0/meminfo", text)
    assert numa_nodes.read_nodes(Root(host))[0].memory_mib == 0
