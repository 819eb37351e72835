# SPDX-License-Identifier: Apache-2.0
"""A proposal for ``[compute] cpu_dedicated_set`` and ``cpu_shared_set``: whole cores only.

Of every NUMA node the first cores stay with the host. The other cores of nodes with GPUs are for
pinned vCPUs, so that servers without GPUs, which share vCPUs, cannot use them up; all others are
shared. Where every node has GPUs, a few cores of each are shared, for emulator threads and small
servers.
"""

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nova_gpu_passthrough.files import cpu_list
from nova_gpu_passthrough.fleet.offers import Offer
from nova_gpu_passthrough.inventory.host import NumaNode

#: How many cores one core of the host's own serves.
_CORES_PER_HOST_CORE = 32

Core = frozenset[int]


@dataclass(frozen=True)
class CpuSets:
    """CPU ids by use."""

    dedicated: frozenset[int]
    shared: frozenset[int]
    host: frozenset[int]
    #: Those of ``dedicated`` by NUMA node.
    dedicated_by_node: dict[int, frozenset[int]]


def propose(offer: Offer, host_cores: int | None) -> CpuSets | None:
    """Sets for a host; None where its cores are not known or too few to share out.

    :param host_cores: whole cores of each node that the host keeps
    """
    cores = {node.id: _cores(node) for node in offer.inventory.numa_nodes}
    cores = {node: members for node, members in cores.items() if members}
    if not cores or min(len(members) for members in cores.values()) < 2:
        return None
    kept = {node: _host_cores(len(members), host_cores) for node, members in cores.items()}
    with_gpus = _nodes_with_gpus(offer, cores.keys())
    everywhere = with_gpus == cores.keys()
    dedicated: dict[int, frozenset[int]] = {}
    shared: set[int] = set()
    host: set[int] = set()
    for node, members in cores.items():
        count = kept[node]
        host |= _cpus(members[:count])
        rest = members[count:]
        if node not in with_gpus:
            shared |= _cpus(rest)
            continue
        # At least one core is left for pinning.
        few = min(count, len(rest) - 1) if everywhere else 0
        shared |= _cpus(rest[:few])
        dedicated[node] = frozenset(_cpus(rest[few:]))
    return CpuSets(
        frozenset().union(*dedicated.values()), frozenset(shared), frozenset(host), dedicated
    )


def _cores(node: NumaNode) -> list[Core]:
    """Its cores; none of what is no list of CPUs, in an inventory that somebody edited."""
    cores = set()
    for text in node.cores:
        with contextlib.suppress(ValueError):
            cores.add(frozenset(cpu_list.parse(text)))
    return sorted(filter(None, cores), key=min)


def _host_cores(count: int, wanted: int | None) -> int:
    """How many of a node's cores the host keeps; one is left for servers, whatever was asked."""
    usual = -(-count // _CORES_PER_HOST_CORE)
    return min(usual if wanted is None else wanted, count - 1)


def _nodes_with_gpus(offer: Offer, nodes: Iterable[int]) -> set[int]:
    """Nodes whose CPUs are closest to a GPU; all nodes, if a GPU's is not known."""
    known = set(nodes)
    by_id = {node.id: node for node in offer.inventory.numa_nodes}
    order = sorted(by_id)
    found: set[int] = set()
    for gpu in offer.gpus:
        node = gpu.device.numa_node
        if node in known:
            found.add(node)
            continue
        distances = by_id[node].distances if node in by_id else ()
        if len(distances) != len(order):
            return known
        # A node without CPUs (memory of a GPU or of CXL): those next to it.
        near = {other: distances[order.index(other)] for other in known}
        found |= {other for other, far in near.items() if far == min(near.values())}
    return found


def _cpus(cores: Sequence[Core]) -> set[int]:
    return set().union(*cores)
