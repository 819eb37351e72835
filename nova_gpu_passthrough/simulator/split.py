# SPDX-License-Identifier: Apache-2.0
"""Whether a server's GPUs are on one NUMA node and of one link group, told from states alone."""

from collections import Counter
from collections.abc import Iterable

from nova_gpu_passthrough.packing.host_state import UNLINKED, HostState


def over_numa_nodes(before: HostState, after: HostState) -> bool:
    """Whether a placement took GPUs of more than one NUMA node; those of unknown node aside."""
    return not _from_one(_by_cell(before), _by_cell(after))


def over_links(before: HostState, after: HostState) -> bool:
    """Whether it took several GPUs that are not all linked to each other."""
    return not _from_one(_by_link(before), _by_link(after))


def _from_one(before: Iterable[int], after: Iterable[int]) -> bool:
    """Whether the numbers differ in one at most.

    States are sorted, so which cell became which is not known; equal ones are equally good.
    """
    old, new = Counter(before), Counter(after)
    return (old - new).total() <= 1


def _by_cell(state: HostState) -> list[int]:
    return [sum(group.free for group in cell.gpus) for cell in state.cells]


def _by_link(state: HostState) -> Iterable[int]:
    linked: dict[int, int] = {}
    for group in state.groups():
        if group.link == UNLINKED:
            yield from [1] * group.free
        else:
            linked[group.link] = linked.get(group.link, 0) + group.free
    yield from linked.values()
