# SPDX-License-Identifier: Apache-2.0
"""Read NUMA nodes, CPUs and huge pages from /sys/devices/system.

Files: Documentation/ABI/stable/sysfs-devices-node and sysfs-devices-system-cpu.
"""

import re

from nova_gpu_passthrough.files import cpu_list
from nova_gpu_passthrough.host.root import Root
from nova_gpu_passthrough.inventory.host import HugePages, NumaNode

NODES = "/sys/devices/system/node"
CPUS = "/sys/devices/system/cpu"
_NODE = re.compile(r"node(\d+)")
_HUGE = re.compile(r"hugepages-(\d+)kB")


def read_nodes(root: Root) -> tuple[NumaNode, ...]:
    """Return the NUMA nodes; none if the kernel has no NUMA support."""
    ids = sorted(int(m[1]) for name in root.names(NODES) if (m := _NODE.fullmatch(name)))
    return tuple(_read_node(root, node_id) for node_id in ids)


def _read_node(root: Root, node_id: int) -> NumaNode:
    folder = f"{NODES}/node{node_id}"
    cpus = (
        root.parsed(f"{folder}/cpulist", cpu_list.parse, "a list of CPUs such as 0-27,56-83") or ()
    )
    cores: dict[tuple[int, ...], None] = {}
    for cpu in cpus:
        path = f"{CPUS}/cpu{cpu}/topology/thread_siblings_list"
        siblings = root.parsed(path, cpu_list.parse, "a list of CPUs such as 0,56")
        cores.setdefault(siblings or (cpu,))
    socket = root.number(f"{CPUS}/cpu{cpus[0]}/topology/physical_package_id") if cpus else None
    return NumaNode(
        node_id,
        socket,
        root.text(f"{folder}/cpulist") or "" if cpus else "",
        tuple(",".join(map(str, core)) for core in cores),
        _memory_mib(root, f"{folder}/meminfo"),
        tuple(_huge_pages(root, folder)),
        root.parsed(f"{folder}/distance", _distances, "distances to nodes") or (),
    )


def _distances(text: str) -> tuple[int, ...]:
    distances = tuple(map(int, text.split()))
    # The ACPI table has one byte for each.
    if any(not 0 < distance < 256 for distance in distances):
        raise ValueError(text)
    return distances


def _memory_mib(root: Root, path: str) -> int:
    match = re.search(r"MemTotal:\s*(\d{1,18}) kB", root.text(path) or "")
    return int(match[1]) // 1024 if match else 0


def _huge_pages(root: Root, folder: str) -> list[HugePages]:
    pools = []
    for name in root.names(f"{folder}/hugepages"):
        size = _HUGE.fullmatch(name)
        if size:
            pool = f"{folder}/hugepages/{name}"
            total = root.number(f"{pool}/nr_hugepages") or 0
            free = root.number(f"{pool}/free_hugepages") or 0
            pools.append(HugePages(int(size[1]), total, free))
    return sorted(pools, key=lambda pool: pool.size_kib)
