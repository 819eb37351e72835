# SPDX-License-Identifier: Apache-2.0
"""NUMA nodes and links of hosts of which neither is told, and NUMA cells of their guests.

Traces tell no topology. So each host gets two NUMA nodes with a half of its CPUs, RAM and GPUs, and
links by its GPUs' model. Of the models in openb only T4, P100, V100 and A10 are known; what G2 and
G3 are was not published, and what is said of their links here is an assumption.
"""

import dataclasses
import enum
from collections.abc import Iterable, Sequence

from nova_gpu_passthrough.packing.host_state import (
    UNLINKED,
    CellState,
    GpuGroup,
    HostState,
    canonical,
)
from nova_gpu_passthrough.packing.request_class import Reach, RequestClass

CELLS = 2
#: GPUs of these models are all linked to each other on a host: boards such as SXM2's.
_BOARDS = frozenset(("V100M16", "V100M32", "G3"))
#: Of these, every two on a NUMA node are, by a bridge.
_PAIRS = frozenset(("G2",))

_RULE = (
    "each host has two NUMA nodes with half of its vCPUs, RAM and GPUs (an odd one: the first); "
    f"GPUs of one host are all linked if they are {', '.join(sorted(_BOARDS))}, in pairs within a "
    f"NUMA node if they are {', '.join(sorted(_PAIRS))}, and not linked otherwise"
)


class Topology(enum.StrEnum):
    """What hosts get."""

    RULE = "rule"
    #: One NUMA node, no links: as in the published tables.
    NONE = "none"


class Numa(enum.StrEnum):
    """Which NUMA topology guests get."""

    #: None: they float over the host.
    NONE = "none"
    #: As few cells as they fit in, and GPUs of these only.
    FIT = "fit"


RULES = {Topology.RULE: _RULE, Topology.NONE: "hosts have one NUMA node and no links"}
NUMA_RULES = {
    Numa.NONE: "guests have no NUMA topology",
    Numa.FIT: "guests have one NUMA cell if they fit in a node of any empty host, else two, and "
    "GPUs of these nodes only (hw:pci_numa_affinity_policy=required)",
}


def state(
    vcpus: int, ram_mib: int, model: str, gpus: int, topology: Topology = Topology.RULE
) -> HostState:
    """An empty host by the rule."""
    if topology is Topology.NONE:
        cell = CellState(vcpus, 0, ram_mib, (GpuGroup(model, UNLINKED, gpus),))
        return canonical(HostState((cell,), vcpus, ram_mib))
    cells = []
    next_link = 1
    for number in range(CELLS):
        free = half(gpus, number)
        groups: list[GpuGroup] = []
        if model in _BOARDS:
            groups = [GpuGroup(model, 1, free)]
        elif model in _PAIRS:
            for start in range(0, free, 2):
                groups.append(GpuGroup(model, next_link, min(2, free - start)))
                next_link += 1
        else:
            groups = [GpuGroup(model, UNLINKED, free)]
        cells.append(CellState(half(vcpus, number), 0, half(ram_mib, number), tuple(groups)))
    return canonical(HostState(tuple(cells), vcpus, ram_mib))


def guest(wanted: RequestClass, numa: Numa, hosts: Iterable[HostState]) -> RequestClass:
    """The class with the NUMA topology that its guests get.

    :param hosts: empty hosts, each kind once suffices
    """
    if numa is Numa.NONE:
        return wanted
    every = list(hosts)
    one = any(_fits(wanted, cell) for host in every for cell in host.cells)
    most = max((len(host.cells) for host in every), default=1)
    return dataclasses.replace(wanted, numa_cells=1 if one else most, reach=Reach.NEAR)


def kinds(states: Sequence[HostState]) -> Sequence[HostState]:
    """Each state once."""
    return list(dict.fromkeys(states))


def half(amount: int, number: int) -> int:
    """What one of the two nodes has of an amount."""
    return (amount + 1 - number) // CELLS


def _fits(wanted: RequestClass, cell: CellState) -> bool:
    free = sum(group.free for group in cell.gpus if wanted.model in (None, group.model))
    return (
        wanted.vcpus <= cell.shared_cpus and wanted.ram_mib <= cell.ram_mib and wanted.gpus <= free
    )
