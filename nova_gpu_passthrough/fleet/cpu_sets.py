# SPDX-License-Identifier: Apache-2.0
"""A proposal for ``[compute] cpu_dedicated_set`` and ``cpu_shared_set``: whole cores only.

The host keeps the first cores of every NUMA node. On nodes with GPUs, the other cores are for
pinned vCPUs, so that servers without GPUs, which share vCPUs, cannot use them up. On nodes without
GPUs, the other cores are shared. If every node has GPUs, a few cores of each node are shared, for
emulator threads and small servers.
"""

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nova_gpu_passthrough.files import cpu_list
from nova_gpu_passthrough.fleet.offers import HostOffer
from nova_gpu_passthrough.inventory.host import NumaNode

#: The host keeps one core of so many.
_CORES_PER_HOST_CORE = 32

Core = frozenset[int]


@dataclass(frozen=True)
class CpuSets:
    """The CPU ids of a host by use."""

    dedicated: frozenset[int]
    shared: frozenset[int]
    host: frozenset[int]
    #: The ids of ``dedicated`` by NUMA node.
    dedicated_by_node: dict[int, frozenset[int]]


def propose(offer: HostOffer, host_cores: int | None) -> CpuSets | None:
    """Propose CPU sets for a host; None if its cores are unknown or too few.

    :param host_cores: whole cores of each node that the host keeps
    """
    by_node = {node.id: cores(node) for node in offer.inventory.numa_nodes}
    by_node = {node: members for node, members in by_node.items() if members}
    if not by_node or min(len(members) for members in by_node.values()) < 2:
        return None
    kept = {node: _host_cores(len(members), host_cores) for node, members in by_node.items()}
    with_gpus = _nodes_with_gpus(offer, by_node.keys())
    everywhere = with_gpus == by_node.keys()
    dedicated: dict[int, frozenset[int]] = {}
    shared: set[int] = set()
    host: set[int] = set()
    for node, members in by_node.items():
        count = kept[node]
        host |= _cpus(members[:count])
        rest = members[count:]
        if node not in with_gpus:
            shared |= _cpus(rest)
            continue
        # At least one core remains for pinning.
        shared_cores = min(count, len(rest) - 1) if everywhere else 0
        shared |= _cpus(rest[:shared_cores])
        dedicated[node] = frozenset(_cpus(rest[shared_cores:]))
    return CpuSets(
        frozenset().union(*dedicated.values()), frozenset(shared), frozenset(host), dedicated
    )


def cores(node: NumaNode) -> list[Core]:
    """Return the cores of a node, sorted, without those that are not valid lists of CPUs."""
    members = set()
    for text in node.cores:
        with contextlib.suppress(ValueError):
            members.add(frozenset(cpu_list.parse(text)))
    return sorted(filter(None, members), key=min)


def _host_cores(count: int, configured: int | None) -> int:
    """Return how many of a node's cores the host keeps; at least one remains for servers."""
    default = -(-count // _CORES_PER_HOST_CORE)
    return min(default if configured is None else configured, count - 1)


def _nodes_with_gpus(offer: HostOffer, nodes: Iterable[int]) -> set[int]:
    """Return the nodes with the CPUs closest to each GPU; all nodes if a GPU's node is unknown."""
    known = set(nodes)
    by_id = {node.id: node for node in offer.inventory.numa_nodes}
    order = sorted(by_id)
    nodes_with_gpus: set[int] = set()
    for gpu in offer.gpus:
        node = gpu.device.numa_node
        if node in known:
            nodes_with_gpus.add(node)
            continue
        distances = by_id[node].distances if node in by_id else ()
        if len(distances) != len(order):
            return known
        # A node without CPUs (memory of a GPU or of CXL): use the nearest nodes with CPUs.
        by_node = {other: distances[order.index(other)] for other in known}
        nodes_with_gpus |= {other for other, far in by_node.items() if far == min(by_node.values())}
    return nodes_with_gpus


def _cpus(cores: Sequence[Core]) -> set[int]:
    return set().union(*cores)
