# SPDX-License-Identifier: Apache-2.0
"""Count the free GPUs that no server of the mix can use, by the cause."""

import dataclasses
import enum
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from nova_gpu_passthrough.packing.count_servers import usable_gpus_by_class
from nova_gpu_passthrough.packing.host_state import HostState, canonical
from nova_gpu_passthrough.packing.request_class import GpuLocality, RequestClass

#: More of any resource than a host has.
_PLENTY = 1 << 40


class StrandedCause(enum.StrEnum):
    """What prevents GPUs from being used."""

    VCPUS = "vcpus"
    RAM = "ram"
    DISK = "disk"
    #: vCPUs, RAM and GPUs are free, but not on the same NUMA nodes.
    NUMA = "numa"
    LINKS = "links"
    #: Several of these together.
    SEVERAL = "several"
    #: Servers request more GPUs, or other models.
    GPUS = "gpus"


_ONE_BY_ONE = (
    StrandedCause.VCPUS,
    StrandedCause.RAM,
    StrandedCause.DISK,
    StrandedCause.NUMA,
    StrandedCause.LINKS,
)


def count_by_cause(
    states: Iterable[HostState], classes: Iterable[RequestClass]
) -> Mapping[StrandedCause, int]:
    """Count the stranded GPUs of all hosts by cause.

    On each host, the class that can use the most GPUs decides how many are usable; the other free
    ones are stranded. The first cause of a host is the one whose removal would make the most GPUs
    usable; those that would remain stranded are counted with the next cause.
    """
    with_gpus = [one for one in classes if one.gpus]
    total: Counter[StrandedCause] = Counter()
    for state, hosts in Counter(states).items():
        for cause, gpus in _count_on_host(state, with_gpus).items():
            total[cause] += gpus * hosts
    return {cause: total[cause] for cause in StrandedCause if total[cause]}


def usable(state: HostState, classes: Sequence[RequestClass]) -> int:
    """Return how many free GPUs the servers of the best class can use on a host."""
    return max(usable_gpus_by_class(state, classes), default=0) if state.free_gpus else 0


def _count_on_host(
    state: HostState, classes: Sequence[RequestClass]
) -> Mapping[StrandedCause, int]:
    free, best = state.free_gpus, usable(state, classes)
    counts: dict[StrandedCause, int] = {}
    causes = list(_ONE_BY_ONE)
    while best < free and causes:
        gains = {cause: usable(*_without(cause, state, classes)) - best for cause in causes}
        cause = max(causes, key=gains.__getitem__)
        if gains[cause] <= 0:
            break
        counts[cause] = gains[cause]
        best += gains[cause]
        state, classes = _without(cause, state, classes)
        causes.remove(cause)
    if best < free:
        for cause in causes:
            state, classes = _without(cause, state, classes)
        gain = usable(state, classes) - best
        if gain > 0:
            counts[StrandedCause.SEVERAL] = gain
        if best + gain < free:
            counts[StrandedCause.GPUS] = free - best - gain
    return counts


def _without(
    cause: StrandedCause, state: HostState, classes: Sequence[RequestClass]
) -> tuple[HostState, Sequence[RequestClass]]:
    """Return the host and the classes without the limit that is the cause."""
    if cause is StrandedCause.VCPUS:
        cells = tuple(
            cell._replace(shared_cpus=_PLENTY, pinned_cpus=_PLENTY) for cell in state.cells
        )
        return canonical(state._replace(cells=cells, vcpus=_PLENTY)), classes
    if cause is StrandedCause.RAM:
        cells = tuple(cell._replace(ram_mib=_PLENTY) for cell in state.cells)
        return canonical(state._replace(cells=cells, ram_mib=_PLENTY)), classes
    if cause is StrandedCause.DISK:
        return state._replace(disk_gib=_PLENTY), classes
    if cause is StrandedCause.LINKS:
        return state, [
            dataclasses.replace(request_class, linked=False) for request_class in classes
        ]
    return state, [
        dataclasses.replace(
            request_class,
            vcpus=request_class.vcpus + request_class.pinned_cpus,
            pinned_cpus=0,
            numa_cells=0,
            gpu_locality=GpuLocality.ANY_NODE,
        )
        if request_class.numa_cells or request_class.gpu_locality is not GpuLocality.ANY_NODE
        else request_class
        for request_class in classes
    ]
