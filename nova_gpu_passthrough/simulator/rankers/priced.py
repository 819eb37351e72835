# SPDX-License-Identifier: Apache-2.0
"""Rankers that price a placement by what it takes from a host's value.

The value of a host is a row of numbers that depends on its state only, times weights that are the
same for all hosts and may change with every placement. So losses are kept for each class of
servers, and worked out anew only for hosts that changed.
"""

import abc
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nova_gpu_passthrough.packing.host_state import HostState
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.policies.fragmentation import DIGITS
from nova_gpu_passthrough.simulator.amounts import Amounts, is_floating
from nova_gpu_passthrough.simulator.cell_needs import CellNeeds, has_cells, is_simple
from nova_gpu_passthrough.simulator.ranker import Offers, ScoringRanker, SimHost

if TYPE_CHECKING:
    from nova_gpu_passthrough.simulator.ranker import Numbers, Scores

_REMEMBERED = 1 << 14


class _Losses:
    """What a server of one class destroys, by host."""

    def __init__(self, hosts: int, columns: int) -> None:
        self.seen = -1
        #: One layer for each of the states that can be left; infinite where there are fewer.
        self.rows: Scores = np.zeros((1, hosts, columns))
        self.layers: Numbers = np.ones(hosts, np.int64)

    def put(self, index: int, losses: "Scores") -> None:
        """Set those of a host, one row for each state that can be left."""
        count = len(losses)
        if count > len(self.rows):
            more = np.zeros((count - len(self.rows), *self.rows.shape[1:]))
            self.rows = np.concatenate((self.rows, more))
        self.rows[:count, index] = losses
        self.layers[index] = count

    def prices(self, hosts: "Numbers", weights: "Scores") -> "Scores":
        """Prices by layer (rows) and host (columns)."""
        # Whole matrices are multiplied faster than parts are copied. No BLAS: it would start
        # threads, and several runs go on side by side.
        if 2 * len(hosts) > self.rows.shape[1]:
            found = np.einsum("khm,m->kh", self.rows, weights)[:, hosts]
        else:
            found = np.einsum("khm,m->kh", self.rows[:, hosts], weights)
        for layer in range(1, len(found)):
            found[layer, self.layers[hosts] <= layer] = np.inf
        prices: Scores = found.round(DIGITS)
        return prices


class PricedRanker(ScoringRanker):
    """The cheapest host wins; of equally cheap ones the one that has the least free."""

    def begin(
        self, hosts: Sequence[SimHost], mix: Mapping[RequestClass, float], rng: random.Random
    ) -> None:
        """Value all hosts."""
        self._states = [host.state for host in hosts]
        models = {group.model for state in self._states for group in state.groups()}
        self._amounts = Amounts(self._states, models)
        self._changes: list[int] = []
        self._losses: dict[RequestClass, _Losses] = {}
        self._known: dict[HostState, Scores] = {}
        classes = self.prepare(hosts, mix, self._amounts)
        kinds = [{group.model for group in state.groups()} for state in self._states]
        alone = all(len(kind) < 2 for kind in kinds)
        #: Whether a host's totals decide its value.
        self._total = alone and all(map(is_floating, classes))
        cells = len(self._states[0].cells) if hosts else 0
        self._cell_needs: CellNeeds | None = None
        if (
            alone
            and cells
            and all(has_cells(state, cells) for state in self._states)
            and all(is_simple(wanted, cells) for wanted in classes)
        ):
            self._cell_needs = CellNeeds(classes, cells, models)
        #: The column of each host's model.
        self._column = np.array([self._amounts.column(next(iter(kind), None)) for kind in kinds])
        every = np.arange(len(hosts))
        self._now: Scores = self._valued(every)
        self._stale: dict[int, None] = {}

    @abc.abstractmethod
    def prepare(
        self, hosts: Sequence[SimHost], mix: Mapping[RequestClass, float], amounts: Amounts
    ) -> Sequence[RequestClass]:
        """Begin anew, and tell by what classes hosts are valued."""

    @abc.abstractmethod
    def row(self, state: HostState) -> Sequence[float]:
        """What a state is worth."""

    @abc.abstractmethod
    def rows(self, hosts: "Numbers", bulk: "Numbers", gpus: "Numbers") -> "Scores":
        """The same for many hosts with these amounts (see `Amounts`), if totals decide it.

        Each host has GPUs of one model only.
        """

    @abc.abstractmethod
    def weights(self) -> "Scores":
        """By what rows are multiplied, now."""

    def rows_of(self, states: Sequence[HostState], servers: "Scores") -> "Scores":
        """The same for states of which it was counted how many servers of each class fit.

        Each has GPUs of one model only.
        """
        return np.array([self.row(state) for state in states])

    def changed(self, index: int, state: HostState) -> None:
        """Note what a host has left."""
        self._states[index] = state
        self._amounts.put(index, state)
        self._changes.append(index)
        self._stale[index] = None

    def scores(self, wanted: RequestClass, offers: Offers) -> "Scores":
        """The cheaper, the better; the same price and the same left is the same score."""
        prices = self._prices(wanted, offers).min(axis=0)
        return -places(prices, self.tie(offers.hosts)).astype(np.float64)

    def choose(self, wanted: RequestClass, offers: Offers) -> tuple[int, HostState]:
        """The first of the cheapest."""
        layers = self._prices(wanted, offers)
        prices = layers.min(axis=0)
        best = (prices == prices.min()).nonzero()[0]
        best = best[self.tie(offers.hosts[best]).argmin()]
        host = int(offers.hosts[best])
        return host, offers.after(host)[int(layers[:, best].argmin())]

    def best_after(self, wanted: RequestClass, offers: Offers, host: int) -> HostState:
        """The cheapest of the states that can be left."""
        position = offers.hosts.searchsorted(host)
        return offers.after(host)[int(self._prices(wanted, offers)[:, position].argmin())]

    def tie(self, hosts: "Numbers") -> "Numbers | Scores":
        """What decides between equal prices; the least wins."""
        free: Numbers = self._amounts.gpus[hosts, -1]
        return free

    def _prices(self, wanted: RequestClass, offers: Offers) -> "Scores":
        self._refresh()
        known = self._losses.get(wanted)
        if known is None:
            known = self._losses[wanted] = _Losses(*self._now.shape)
        hosts = offers.hosts
        if known.seen >= 0:
            changed = np.unique(np.array(self._changes[known.seen :], np.int64))
            hosts = changed[np.isin(changed, hosts, assume_unique=True)]
        known.seen = len(self._changes)
        if hosts.size:
            if self._total and is_floating(wanted):
                known.rows[0, hosts] = self._now[hosts] - self._left(wanted, hosts)
            else:
                after = {index: offers.after(index) for index in hosts.tolist()}
                self._learn(state for states in after.values() for state in states)
                for index, states in after.items():
                    rows = np.array([self._known[state] for state in states])
                    known.put(index, self._now[index] - rows)
        return known.prices(offers.hosts, self.weights())

    def _left(self, wanted: RequestClass, hosts: "Numbers") -> "Scores":
        bulk = self._amounts.bulk[hosts] - (wanted.vcpus, wanted.ram_mib, wanted.disk_gib)
        gpus = self._amounts.gpus[hosts]
        if wanted.gpus:
            gpus[np.arange(len(hosts)), self._column[hosts]] -= wanted.gpus
            gpus[:, -1] -= wanted.gpus
        return self.rows(hosts, bulk, gpus)

    def _refresh(self) -> None:
        if self._stale:
            hosts = np.array(list(self._stale), np.int64)
            self._stale.clear()
            self._now[hosts] = self._valued(hosts)

    def _valued(self, hosts: "Numbers") -> "Scores":
        if self._total:
            return self.rows(hosts, self._amounts.bulk[hosts], self._amounts.gpus[hosts])
        states = [self._states[index] for index in hosts.tolist()]
        self._learn(states)
        return np.array([self._known[state] for state in states])

    def _learn(self, states: Iterable[HostState]) -> None:
        """Value states that are not known yet."""
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        asked = dict.fromkeys(states)
        new = [state for state in asked if state not in self._known]
        if not new:
            return
        if self._cell_needs is not None:
            rows = self.rows_of(new, self._cell_needs.servers(new))
        else:
            rows = np.array([self.row(state) for state in new])
        self._known.update(zip(new, rows, strict=True))


def places(prices: "Scores", ties: "Numbers | Scores") -> "Numbers":
    """0 for the smallest pair, 1 for the second and so on; equal pairs have equal places."""
    order = np.lexsort((ties, prices))
    steps = (np.diff(prices[order]) != 0) | (np.diff(ties[order]) != 0)
    places = np.zeros(len(prices), np.int64)
    places[order[1:]] = steps.cumsum()
    return places
