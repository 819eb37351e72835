# SPDX-License-Identifier: Apache-2.0
"""One run of a ranker on simulated hosts, and its counts so far."""

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.packing.host_state import UNLINKED, HostState
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.simulator import stranded_causes
from nova_gpu_passthrough.simulator.outcome import Outcome
from nova_gpu_passthrough.simulator.ranker import Ranker, SimulatedHost
from nova_gpu_passthrough.simulator.simulated_hosts import SimulatedHosts


class SimulationRun:
    """Places servers on hosts that a ranker chooses, and counts the results.

    :param mix: the mix of requests that the ranker expects
    :raises UserError: if no host has GPUs, or no class of the mix requests any
    """

    def __init__(
        self,
        fleet: Sequence[SimulatedHost],
        ranker: Ranker,
        mix: Mapping[RequestClass, float],
        seed: int,
    ) -> None:
        self.total_gpus = sum(host.gpus for host in fleet)
        if not self.total_gpus:
            raise UserError("no host has GPUs, so there is nothing to simulate; name other hosts")
        if not any(request_class.gpus for request_class in mix):
            raise UserError("no task requests GPUs, so there is nothing to simulate")
        self.hosts = SimulatedHosts(fleet)
        self._ranker = ranker
        self._mix = mix
        self._seed = seed
        self.allocated = self.requested = self.placed = 0
        self.refused: Counter[int] = Counter()
        self._several = self._numa_split = self._link_split = 0
        ranker.begin(fleet, mix, random.Random(f"ranker {seed}"))

    def request(self, request_class: RequestClass) -> tuple[int, HostState] | None:
        """Place a requested server, or count it as refused; returns the same as `place`."""
        self.requested += 1
        placed = self.place(request_class)
        if placed is None:
            self.refused[request_class.gpus] += 1
        return placed

    def place(self, request_class: RequestClass) -> tuple[int, HostState] | None:
        """Place a server; returns the index and new state of its host, None if it fits nowhere."""
        fitting = self.hosts.fitting(request_class)
        if fitting is None:
            return None
        index, after = self._ranker.choose(request_class, fitting)
        before = self.hosts.states[index]
        self._put(index, after)
        self.placed += 1
        self.allocated += request_class.gpus
        if request_class.gpus > 1:
            self._several += 1
            self._numa_split += is_split_over_numa_nodes(before, after)
            self._link_split += is_split_over_links(before, after)
        return index, after

    def release(self, request_class: RequestClass, index: int, state: HostState) -> None:
        """Record that a server was deleted, and the new state of its host."""
        self.allocated -= request_class.gpus
        self._put(index, state)

    @property
    def percent(self) -> float:
        """The share of all GPUs that is allocated, in %."""
        return 100.0 * self.allocated / self.total_gpus

    def outcome(self, course: Mapping[float, float]) -> Outcome:
        """Return the results so far, with a course that may still grow."""
        return Outcome(
            self._seed,
            self.total_gpus,
            self.percent,
            self.total_gpus - self.allocated,
            self.requested,
            self.refused.total(),
            self.placed,
            dict(sorted(self.refused.items())),
            stranded_causes.count_by_cause(self.hosts.states, self._mix),
            self._several,
            self._numa_split,
            self._link_split,
            course,
        )

    def _put(self, index: int, state: HostState) -> None:
        self.hosts.put(index, state)
        self._ranker.changed(index, state)


def is_split_over_numa_nodes(before: HostState, after: HostState) -> bool:
    """Check whether a placement took GPUs of several NUMA nodes; unknown nodes do not count."""
    return not _differ_in_one(_free_by_cell(before), _free_by_cell(after))


def is_split_over_links(before: HostState, after: HostState) -> bool:
    """Check whether a placement took several GPUs that are not all linked to each other."""
    return not _differ_in_one(_free_by_link(before), _free_by_link(after))


def _differ_in_one(before: Iterable[int], after: Iterable[int]) -> bool:
    """Check whether the numbers differ in at most one.

    States are sorted, so the cells before and after cannot be matched; equal ones are equivalent.
    """
    old, new = Counter(before), Counter(after)
    return (old - new).total() <= 1


def _free_by_cell(state: HostState) -> list[int]:
    return [sum(group.free for group in cell.gpus) for cell in state.cells]


def _free_by_link(state: HostState) -> Iterable[int]:
    linked: dict[int, int] = {}
    for group in state.gpu_groups():
        if group.link == UNLINKED:
            yield from [1] * group.free
        else:
            linked[group.link] = linked.get(group.link, 0) + group.free
    yield from linked.values()
