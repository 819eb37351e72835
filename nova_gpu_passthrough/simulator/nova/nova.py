# SPDX-License-Identifier: Apache-2.0
"""The host that nova-scheduler takes with its own weighers and their default multipliers."""

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
from nova_gpu_passthrough.simulator.nova.host_states import NovaHost
from nova_gpu_passthrough.simulator.ranker import Offers, Ranker, SimHost

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Scores = NDArray[np.float64]
    Numbers = NDArray[np.int64]


class Nova(Ranker):
    """Nova's weigher classes, all that ``nova.scheduler.weights.all_weighers`` finds.

    Raw weights come from the classes themselves and are kept until a host changes: none of them
    looks at what is asked for, as long as the request names neither a server group nor a cell.
    Normalising and summing up is done by arrays, operation by operation as in nova/weights.py, so
    that equal hosts stay equal and different ones different.

    Of equally good hosts nova-scheduler takes the first one in its list (``host_subset_size`` is 1,
    ``shuffle_best_same_weighed_hosts`` is off). The list comes from a set, whose order is anybody's
    guess, but stays while the scheduler runs: here it is drawn once for each run.
    """

    name = "nova"

    def begin(
        self, hosts: Sequence[SimHost], mix: Mapping[RequestClass, float], rng: random.Random
    ) -> None:
        """Weigh all hosts while they are empty."""
        self._rng = rng
        self._weighers = [cls() for cls in weights.all_weighers()]
        self._spec = RequestSpec(instance_group=None, requested_destination=None, image=None)
        self._hosts = [NovaHost(host) for host in hosts]
        order = list(range(len(hosts)))
        rng.shuffle(order)
        #: A host's place in the scheduler's list.
        self._places = np.empty(len(hosts), np.int64)
        self._places[order] = np.arange(len(hosts))
        #: One row for each weigher.
        self._raw: Scores = np.empty((len(self._weighers), len(hosts)))
        for index in range(len(hosts)):
            self._raw[:, index] = self._weigh(index)
        self._multipliers: Scores = np.array(
            [[one.weight_multiplier(host.state) for host in self._hosts] for one in self._weighers]
        )
        self._bounds = [(one.minval, one.maxval) for one in self._weighers]

    def changed(self, index: int, state: HostState) -> None:
        """Weigh a host anew."""
        self._hosts[index].change(state)
        self._raw[:, index] = self._weigh(index)

    def choose(self, wanted: RequestClass, offers: Offers) -> tuple[int, HostState]:
        """The first of the hosts with the largest weight."""
        host = self.first(offers.hosts, self.weights(offers.hosts))
        return host, self._left(wanted, offers.before(host), offers.after(host))

    def first(self, hosts: "Numbers", weights: "Scores") -> int:
        """The host that nova-scheduler takes of hosts with these weights."""
        best = hosts[weights == weights.max()]
        return int(best[self._places[best].argmin()])

    def weights(self, hosts: "Numbers") -> "Scores":
        """The weights of hosts, in this order, if they alone passed the filters."""
        total = np.zeros(len(hosts))
        if len(hosts) < 2:  # these are not weighed
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

    def _left(
        self, wanted: RequestClass, before: HostState, after: Sequence[HostState]
    ) -> HostState:
        """What is left if Nova chooses the NUMA cells, in the order in which it tries them
        (``numa_fit_instance_to_host`` in nova/virt/hardware.py).

        For a guest without NUMA topology it takes devices in no particular order. Cells are taken
        for equal in size, so that the least used is the one with the most left.
        """
        if len(after) < 2:
            return after[0]
        if not wanted.numa_cells:
            return self._rng.choice(after)
        sign = -1 if wanted.gpus else 1

        def tried(cell: CellState) -> tuple[int, int, int]:
            cpus = cell.pinned_cpus if wanted.pinned_cpus else cell.shared_cpus
            return sign * sum(group.free for group in cell.gpus), -cpus, -cell.ram_mib

        return min(after, key=lambda state: sorted(map(tried, taken_from(before, state))))


def taken_from(before: HostState, after: HostState) -> list[CellState]:
    """The cells, as they were before, of which a server has taken something."""
    left = [_size(cell) for cell in after.cells]
    found = []
    for cell in before.cells:
        size = _size(cell)
        if size in left:
            left.remove(size)
        else:
            found.append(cell)
    return found


def _size(cell: CellState) -> tuple[int, int, int, int]:
    """Without the numbers of links, which change."""
    return *cell[:3], sum(group.free for group in cell.gpus)
