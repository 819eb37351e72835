# SPDX-License-Identifier: Apache-2.0
"""Assumed NUMA nodes and GPU links of hosts in traces, and NUMA cells of their guests.

Traces do not contain a topology. So each host gets two NUMA nodes, each with half of the CPUs, RAM
and GPUs, and links that depend on the GPU model. Of the models in openb only T4, P100, V100 and A10
are known; what G2 and G3 are was not published, and their links are an assumption.
"""

import dataclasses
import enum
from collections.abc import Iterable

from nova_gpu_passthrough.packing.host_state import (
    UNLINKED,
    CellState,
    GpuGroup,
    HostState,
    canonical,
)
from nova_gpu_passthrough.packing.request_class import GpuLocality, RequestClass

CELLS = 2
#: Models whose GPUs are all linked to each other on a host, as on SXM2 boards.
_BOARDS = frozenset(("V100M16", "V100M32", "G3"))
#: Models whose GPUs are linked in pairs within a NUMA node, by bridges.
_PAIRS = frozenset(("G2",))

_RULE = (
    "each host has two NUMA nodes with half of its vCPUs, RAM and GPUs (an odd one: the first); "
    f"GPUs of one host are all linked if they are {', '.join(sorted(_BOARDS))}, in pairs within a "
    f"NUMA node if they are {', '.join(sorted(_PAIRS))}, and not linked otherwise"
)


class HostTopology(enum.StrEnum):
    """The topology that hosts of a trace get."""

    RULE = "rule"
    #: One NUMA node and no links, as in the published tables.
    NONE = "none"


class GuestNuma(enum.StrEnum):
    """The NUMA topology that guests of a trace get."""

    #: No NUMA topology: they float over the host.
    NONE = "none"
    #: As few cells as they fit in, and GPUs of these NUMA nodes only.
    FIT = "fit"


RULES = {HostTopology.RULE: _RULE, HostTopology.NONE: "hosts have one NUMA node and no links"}
NUMA_RULES = {
    GuestNuma.NONE: "guests have no NUMA topology",
    GuestNuma.FIT: "guests have one NUMA cell if they fit in a node of any empty host, else two, "
    "and GPUs of these nodes only (hw:pci_numa_affinity_policy=required)",
}


def host_state(
    vcpus: int, ram_mib: int, model: str, gpus: int, topology: HostTopology = HostTopology.RULE
) -> HostState:
    """Return the state of an empty host with the assumed topology."""
    if topology is HostTopology.NONE:
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


def with_guest_numa(
    request_class: RequestClass, numa: GuestNuma, hosts: Iterable[HostState]
) -> RequestClass:
    """Return the class with the NUMA topology that its guests get.

    :param hosts: states of the empty hosts, without duplicates
    """
    if numa is GuestNuma.NONE:
        return request_class
    every = list(hosts)
    one = any(_fits(request_class, cell) for host in every for cell in host.cells)
    most = max((len(host.cells) for host in every), default=1)
    return dataclasses.replace(
        request_class, numa_cells=1 if one else most, gpu_locality=GpuLocality.LOCAL
    )


def half(amount: int, number: int) -> int:
    """Return the share of one of the two NUMA nodes in an amount."""
    return (amount + 1 - number) // CELLS


def _fits(request_class: RequestClass, cell: CellState) -> bool:
    free = sum(group.free for group in cell.gpus if request_class.model in (None, group.model))
    return (
        request_class.vcpus <= cell.shared_cpus
        and request_class.ram_mib <= cell.ram_mib
        and request_class.gpus <= free
    )
