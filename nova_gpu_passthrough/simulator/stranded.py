# SPDX-License-Identifier: Apache-2.0
"""Which free GPUs no server of the mix can use, and what it is that they lack."""

import dataclasses
import enum
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from nova_gpu_passthrough.packing.count_servers import usable_by_class
from nova_gpu_passthrough.packing.host_state import HostState, canonical
from nova_gpu_passthrough.packing.request_class import Reach, RequestClass

#: More than any host has.
_PLENTY = 1 << 40


class Cause(enum.StrEnum):
    """What would make GPUs usable."""

    VCPUS = "vcpus"
    RAM = "ram"
    DISK = "disk"
    #: vCPUs, RAM, GPUs are there, but not on the same NUMA nodes.
    NUMA = "numa"
    LINKS = "links"
    #: Only several of these together.
    SEVERAL = "several"
    #: Servers ask for more GPUs, or for other models.
    GPUS = "gpus"


_ONE_BY_ONE = (Cause.VCPUS, Cause.RAM, Cause.DISK, Cause.NUMA, Cause.LINKS)


def count(states: Iterable[HostState], classes: Iterable[RequestClass]) -> Mapping[Cause, int]:
    """Stranded GPUs of all hosts by cause.

    GPUs count as usable where the class that uses most of a host's could use them: what is left
    over is stranded. Of several causes the one counts whose remedy would make most of a host's
    usable; those that still are not are counted by the next.
    """
    wanted = [one for one in classes if one.gpus]
    total: Counter[Cause] = Counter()
    for state, hosts in Counter(states).items():
        for cause, gpus in _of(state, wanted).items():
            total[cause] += gpus * hosts
    return {cause: total[cause] for cause in Cause if total[cause]}


def usable(state: HostState, classes: Sequence[RequestClass]) -> int:
    """How many of its free GPUs servers of the one class could use that can use most."""
    return max(usable_by_class(state, classes), default=0) if state.free_gpus else 0


def _of(state: HostState, classes: Sequence[RequestClass]) -> Mapping[Cause, int]:
    free, best = state.free_gpus, usable(state, classes)
    found: dict[Cause, int] = {}
    remedies = list(_ONE_BY_ONE)
    while best < free and remedies:
        gains = {cause: usable(*_without(cause, state, classes)) - best for cause in remedies}
        cause = max(remedies, key=gains.__getitem__)
        if gains[cause] <= 0:
            break
        found[cause] = gains[cause]
        best += gains[cause]
        state, classes = _without(cause, state, classes)
        remedies.remove(cause)
    if best < free:
        for cause in remedies:
            state, classes = _without(cause, state, classes)
        gain = usable(state, classes) - best
        if gain > 0:
            found[Cause.SEVERAL] = gain
        if best + gain < free:
            found[Cause.GPUS] = free - best - gain
    return found


def _without(
    cause: Cause, state: HostState, classes: Sequence[RequestClass]
) -> tuple[HostState, Sequence[RequestClass]]:
    """The host and the classes as if this were no limit."""
    if cause is Cause.VCPUS:
        cells = tuple(
            cell._replace(shared_cpus=_PLENTY, pinned_cpus=_PLENTY) for cell in state.cells
        )
        return canonical(state._replace(cells=cells, vcpus=_PLENTY)), classes
    if cause is Cause.RAM:
        cells = tuple(cell._replace(ram_mib=_PLENTY) for cell in state.cells)
        return canonical(state._replace(cells=cells, ram_mib=_PLENTY)), classes
    if cause is Cause.DISK:
        return state._replace(disk_gib=_PLENTY), classes
    if cause is Cause.LINKS:
        return state, [dataclasses.replace(wanted, linked=False) for wanted in classes]
    return state, [
        dataclasses.replace(
            wanted,
            vcpus=wanted.vcpus + wanted.pinned_cpus,
            pinned_cpus=0,
            numa_cells=0,
            reach=Reach.ANYWHERE,
        )
        if wanted.numa_cells or wanted.reach is not Reach.ANYWHERE
        else wanted
        for wanted in classes
    ]
