# SPDX-License-Identifier: Apache-2.0
"""The ranker ``nova``: nova-scheduler's own weighers with their default multipliers."""

import random
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from nova.objects.request_spec import RequestSpec
    from nova.scheduler import weights
    from nova.weights import WeighedObject

from nova_gpu_passthrough.packing.host_state import CellState, HostState
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.simulator.nova.nova_host import NovaHost
from nova_gpu_passthrough.simulator.ranker import FittingHosts, Ranker, SimulatedHost

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Scores = NDArray[np.float64]
    Numbers = NDArray[np.int64]


class NovaRanker(Ranker):
    """Chooses the host with the largest weight by ``nova.scheduler.weights.all_weighers``.

    Raw weights come from the weigher classes and are cached until a host changes: they do not
    depend on the request, as long as it names neither a server group nor a cell. They are
    normalized and added with arrays, in the order of operations of nova/weights.py, so that equal
    hosts get equal weights and different hosts different ones.

    Of equally good hosts nova-scheduler chooses the first one in its list (``host_subset_size`` is
    1, ``shuffle_best_same_weighed_hosts`` is off). The list comes from a set, whose order is
    arbitrary but does not change while the scheduler runs: here it is drawn once for each run.
    """

    def begin(
        self, hosts: Sequence[SimulatedHost], mix: Mapping[RequestClass, float], rng: random.Random
    ) -> None:
        """Weigh all empty hosts."""
        self._rng = rng
        self._weighers = [cls() for cls in weights.all_weighers()]
        self._spec = RequestSpec(instance_group=None, requested_destination=None, image=None)
        self._hosts = [NovaHost(host) for host in hosts]
        order = list(range(len(hosts)))
        rng.shuffle(order)
        #: The position of each host in the scheduler's list.
        self._positions = np.empty(len(hosts), np.int64)
        self._positions[order] = np.arange(len(hosts))
        #: One row for each weigher.
        self._raw: Scores = np.empty((len(self._weighers), len(hosts)))
        for index in range(len(hosts)):
            self._raw[:, index] = self._weigh(index)
        self._multipliers: Scores = np.array(
            [[one.weight_multiplier(host.state) for host in self._hosts] for one in self._weighers]
        )
        self._bounds = [(one.minval, one.maxval) for one in self._weighers]

    def changed(self, index: int, state: HostState) -> None:
        """Weigh a changed host again."""
        self._hosts[index].change(state)
        self._raw[:, index] = self._weigh(index)

    def choose(self, request_class: RequestClass, fitting: FittingHosts) -> tuple[int, HostState]:
        """Return the first of the hosts with the largest weight."""
        host = self.first(fitting.hosts, self.weights(fitting.hosts))
        return host, self._after(request_class, fitting.before(host), fitting.after(host))

    def first(self, hosts: "Numbers", weights: "Scores") -> int:
        """Return the host that nova-scheduler chooses among hosts with these weights."""
        best = hosts[weights == weights.max()]
        return int(best[self._positions[best].argmin()])

    def weights(self, hosts: "Numbers") -> "Scores":
        """Return the weights of hosts, in this order, if only they passed the filters."""
        total = np.zeros(len(hosts))
        if len(hosts) < 2:  # nova-scheduler does not weigh a single host
            return total
        raw, multipliers = self._raw[:, hosts], self._multipliers[:, hosts]
        lowest, highest = raw.min(axis=1).tolist(), raw.max(axis=1).tolist()
        for row, (least, most) in enumerate(self._bounds):
            low = lowest[row] if least is None else float(least)
            high = highest[row] if most is None else float(most)
            if low != high:
                total += multipliers[row] * ((raw[row] - low) / (high - low))
        return total

    def _weigh(self, index: int) -> list[float]:
        weighed = [WeighedObject(self._hosts[index].state, 0.0)]
        return [one.weigh_objects(weighed, self._spec)[0] for one in self._weighers]

    def _after(
        self, request_class: RequestClass, before: HostState, after: Sequence[HostState]
    ) -> HostState:
        """Return the state that Nova's choice of NUMA cells leaves.

        Nova tries cells in the order of ``numa_fit_instance_to_host`` in nova/virt/hardware.py. For
        a guest without NUMA topology it allocates devices in no particular order. All cells are
        assumed to have the same size, so that the least used one is the one with the most left.
        """
        if len(after) < 2:
            return after[0]
        if not request_class.numa_cells:
            return self._rng.choice(after)
        sign = -1 if request_class.gpus else 1

        def order(cell: CellState) -> tuple[int, int, int]:
            cpus = cell.pinned_cpus if request_class.pinned_cpus else cell.shared_cpus
            return sign * sum(group.free for group in cell.gpus), -cpus, -cell.ram_mib

        return min(after, key=lambda state: sorted(map(order, used_cells(before, state))))


def used_cells(before: HostState, after: HostState) -> list[CellState]:
    """Return the cells, in their state before, from which a server got resources."""
    unchanged = [_amounts(cell) for cell in after.cells]
    used = []
    for cell in before.cells:
        amounts = _amounts(cell)
        if amounts in unchanged:
            unchanged.remove(amounts)
        else:
            used.append(cell)
    return used


def _amounts(cell: CellState) -> tuple[int, int, int, int]:
    """Return the free amounts of a cell without the numbers of links, which may change."""
    return *cell[:3], sum(group.free for group in cell.gpus)
