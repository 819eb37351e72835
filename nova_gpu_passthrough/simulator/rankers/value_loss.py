# SPDX-License-Identifier: Apache-2.0
"""Base class of rankers that price a placement by the value that its host loses.

The value of a host is the product of a row of numbers, which depends on its state only, and of
weights, which are the same for all hosts and may change with every placement. So the lost rows are
cached for each class of servers, and computed again only for hosts that changed.
"""

import abc
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nova_gpu_passthrough.packing.host_state import HostState
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.policies.fragmentation import DIGITS
from nova_gpu_passthrough.simulator.array_counts import (
    CountsByCells,
    HostTotals,
    has_cells,
    is_floating,
    is_simple,
)
from nova_gpu_passthrough.simulator.ranker import FittingHosts, ScoringRanker, SimulatedHost

if TYPE_CHECKING:
    from nova_gpu_passthrough.simulator.ranker import Numbers, Scores

_CACHED_STATES = 1 << 14


class _Losses:
    """The rows of value that a server of one class destroys on each host."""

    def __init__(self, hosts: int, columns: int) -> None:
        #: Number of changes of hosts that ``rows`` includes; -1: nothing is computed yet.
        self.changes = -1
        #: One layer for each possible state after the placement.
        self.rows: Scores = np.zeros((1, hosts, columns))
        #: Number of valid layers of each host.
        self.layers: Numbers = np.ones(hosts, np.int64)

    def put(self, index: int, losses: "Scores") -> None:
        """Set the losses on a host, one row for each possible state."""
        count = len(losses)
        if count > len(self.rows):
            more = np.zeros((count - len(self.rows), *self.rows.shape[1:]))
            self.rows = np.concatenate((self.rows, more))
        self.rows[:count, index] = losses
        self.layers[index] = count

    def prices(self, hosts: "Numbers", weights: "Scores") -> "Scores":
        """Return prices by layer (rows) and host (columns), infinite for invalid layers."""
        # Multiplying whole matrices is faster than copying parts of them. No BLAS: it would start
        # threads, while several replays run in parallel.
        if 2 * len(hosts) > self.rows.shape[1]:
            products = np.einsum("khm,m->kh", self.rows, weights)[:, hosts]
        else:
            products = np.einsum("khm,m->kh", self.rows[:, hosts], weights)
        for layer in range(1, len(products)):
            products[layer, self.layers[hosts] <= layer] = np.inf
        prices: Scores = products.round(DIGITS)
        return prices


class ValueLossRanker(ScoringRanker):
    """Chooses the cheapest host, and among equally cheap ones the one with the least free."""

    def begin(
        self, hosts: Sequence[SimulatedHost], mix: Mapping[RequestClass, float], rng: random.Random
    ) -> None:
        """Value all empty hosts."""
        self._states = [host.state for host in hosts]
        models = {group.model for state in self._states for group in state.gpu_groups()}
        self._totals = HostTotals(self._states, models)
        self._changes: list[int] = []
        self._losses: dict[RequestClass, _Losses] = {}
        self._rows: dict[HostState, Scores] = {}
        classes = self.prepare(hosts, mix, self._totals)
        models_by_host = [{group.model for group in state.gpu_groups()} for state in self._states]
        single_model = all(len(host_models) < 2 for host_models in models_by_host)
        #: Whether the totals of a host decide its value.
        self._by_totals = single_model and all(map(is_floating, classes))
        cells = len(self._states[0].cells) if hosts else 0
        self._cell_counts: CountsByCells | None = None
        if (
            single_model
            and cells
            and all(has_cells(state, cells) for state in self._states)
            and all(is_simple(request_class, cells) for request_class in classes)
        ):
            self._cell_counts = CountsByCells(classes, cells, models)
        #: The column of each host's GPU model in `HostTotals.gpus`.
        self._columns = np.array(
            [self._totals.column(next(iter(host_models), None)) for host_models in models_by_host]
        )
        self._current: Scores = self._current_rows(np.arange(len(hosts)))
        self._stale: dict[int, None] = {}

    @abc.abstractmethod
    def prepare(
        self, hosts: Sequence[SimulatedHost], mix: Mapping[RequestClass, float], totals: HostTotals
    ) -> Sequence[RequestClass]:
        """Prepare for a replay, and return the classes that decide the values of hosts."""

    @abc.abstractmethod
    def row(self, state: HostState) -> Sequence[float]:
        """Return the row of value of a state."""

    @abc.abstractmethod
    def rows_by_totals(self, hosts: "Numbers", bulk: "Numbers", gpus: "Numbers") -> "Scores":
        """Return the rows of many hosts with these totals (see `HostTotals`).

        Only used if totals decide the values, and each host has GPUs of one model only.
        """

    @abc.abstractmethod
    def weights(self) -> "Scores":
        """Return the current weights, by which rows are multiplied."""

    def rows_by_counts(self, states: Sequence[HostState], servers: "Scores") -> "Scores":
        """Return the rows of many states, given how many servers of each class fit on them.

        Only used if each host has GPUs of one model only.
        """
        return np.array([self.row(state) for state in states])

    def changed(self, index: int, state: HostState) -> None:
        """Record the state of a host."""
        self._states[index] = state
        self._totals.put(index, state)
        self._changes.append(index)
        self._stale[index] = None

    def scores(self, request_class: RequestClass, fitting: FittingHosts) -> "Scores":
        """Return scores that are equal for equal prices and tie breakers; cheaper is better."""
        prices = self._prices(request_class, fitting).min(axis=0)
        return -positions(prices, self.tie_breakers(fitting.hosts)).astype(np.float64)

    def choose(self, request_class: RequestClass, fitting: FittingHosts) -> tuple[int, HostState]:
        """Return the first of the cheapest hosts, and its cheapest state."""
        layers = self._prices(request_class, fitting)
        prices = layers.min(axis=0)
        best = (prices == prices.min()).nonzero()[0]
        best = best[self.tie_breakers(fitting.hosts[best]).argmin()]
        host = int(fitting.hosts[best])
        return host, fitting.after(host)[int(layers[:, best].argmin())]

    def tie_breakers(self, hosts: "Numbers") -> "Numbers | Scores":
        """Return what decides between equal prices, lower is better: by default the free GPUs."""
        free: Numbers = self._totals.gpus[hosts, -1]
        return free

    def _prices(self, request_class: RequestClass, fitting: FittingHosts) -> "Scores":
        self._refresh()
        losses = self._losses.get(request_class)
        if losses is None:
            losses = self._losses[request_class] = _Losses(*self._current.shape)
        hosts = fitting.hosts
        if losses.changes >= 0:
            changed = np.unique(np.array(self._changes[losses.changes :], np.int64))
            hosts = changed[np.isin(changed, hosts, assume_unique=True)]
        losses.changes = len(self._changes)
        if hosts.size:
            if self._by_totals and is_floating(request_class):
                after_rows = self._rows_after(request_class, hosts)
                losses.rows[0, hosts] = self._current[hosts] - after_rows
            else:
                after = {index: fitting.after(index) for index in hosts.tolist()}
                self._value(state for states in after.values() for state in states)
                for index, states in after.items():
                    rows = np.array([self._rows[state] for state in states])
                    losses.put(index, self._current[index] - rows)
        return losses.prices(fitting.hosts, self.weights())

    def _rows_after(self, request_class: RequestClass, hosts: "Numbers") -> "Scores":
        bulk = self._totals.bulk[hosts] - (
            request_class.vcpus,
            request_class.ram_mib,
            request_class.disk_gib,
        )
        gpus = self._totals.gpus[hosts]
        if request_class.gpus:
            gpus[np.arange(len(hosts)), self._columns[hosts]] -= request_class.gpus
            gpus[:, -1] -= request_class.gpus
        return self.rows_by_totals(hosts, bulk, gpus)

    def _refresh(self) -> None:
        """Update the rows of changed hosts."""
        if self._stale:
            hosts = np.array(list(self._stale), np.int64)
            self._stale.clear()
            self._current[hosts] = self._current_rows(hosts)

    def _current_rows(self, hosts: "Numbers") -> "Scores":
        if self._by_totals:
            return self.rows_by_totals(hosts, self._totals.bulk[hosts], self._totals.gpus[hosts])
        states = [self._states[index] for index in hosts.tolist()]
        self._value(states)
        return np.array([self._rows[state] for state in states])

    def _value(self, states: Iterable[HostState]) -> None:
        """Add the rows of states to the cache."""
        if len(self._rows) >= _CACHED_STATES:
            self._rows.clear()
        new = [state for state in dict.fromkeys(states) if state not in self._rows]
        if not new:
            return
        if self._cell_counts is not None:
            rows = self.rows_by_counts(new, self._cell_counts.servers(new))
        else:
            rows = np.array([self.row(state) for state in new])
        self._rows.update(zip(new, rows, strict=True))


def positions(prices: "Scores", ties: "Numbers | Scores") -> "Numbers":
    """Return 0 for the smallest pair, 1 for the second one and so on, equal for equal pairs."""
    order = np.lexsort((ties, prices))
    steps = (np.diff(prices[order]) != 0) | (np.diff(ties[order]) != 0)
    result = np.zeros(len(prices), np.int64)
    result[order[1:]] = steps.cumsum()
    return result
