# SPDX-License-Identifier: Apache-2.0
"""Count with arrays how many servers of many classes fit on many hosts.

The arithmetic is that of ``packing.count_servers``, for the classes for which it is simple: those
that depend on the totals of a host only, and those with one NUMA cell or as many as the host.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nova_gpu_passthrough.packing.host_state import GpuGroup, HostState
from nova_gpu_passthrough.packing.request_class import GpuLocality, RequestClass

if TYPE_CHECKING:
    from nova_gpu_passthrough.simulator.ranker import Numbers, Scores

#: More servers than fit on any host.
MANY = float(1 << 30)
#: Column of models that no host has.
_NO_COLUMN = -2


def is_floating(request_class: RequestClass) -> bool:
    """Check whether the totals of a host alone decide if such a server fits."""
    return (
        not request_class.numa_cells
        and not request_class.pinned_cpus
        and (not request_class.gpus or request_class.gpu_locality is not GpuLocality.LOCAL)
        and not (request_class.linked and request_class.gpus > 1)
    )


def is_simple(request_class: RequestClass, cells: int) -> bool:
    """Check whether `CountsByCells` can count such servers on hosts with so many NUMA cells.

    These are servers that float, and servers with one cell or as many as the host, whose GPUs must
    be on their cells and need not be linked.
    """
    return is_floating(request_class) or (
        request_class.numa_cells in (1, cells)
        and (not request_class.gpus or request_class.gpu_locality is GpuLocality.LOCAL)
        and not (request_class.linked and request_class.gpus > 1)
    )


def has_cells(state: HostState, cells: int) -> bool:
    """Check whether a host has so many NUMA cells, and all its GPUs on them."""
    return len(state.cells) == cells and not state.gpus


class HostTotals:
    """Free vCPUs, RAM, disk and GPUs of hosts, by their index.

    :param models: all GPU models of the hosts
    """

    def __init__(self, states: Sequence[HostState], models: Iterable[str]) -> None:
        self._columns = {model: number for number, model in enumerate(sorted(set(models)))}
        #: One column each for vCPUs, RAM and disk.
        self.bulk: Numbers = np.zeros((len(states), 3), np.int64)
        #: One column for each model, the last one for all GPUs.
        self.gpus: Numbers = np.zeros((len(states), len(self._columns) + 1), np.int64)
        for index, state in enumerate(states):
            self.put(index, state)

    def put(self, index: int, state: HostState) -> None:
        """Record the state of a host."""
        self.bulk[index] = state.vcpus, state.ram_mib, state.disk_gib
        row = [0] * (len(self._columns) + 1)
        for model, _, free in state.gpu_groups():
            row[self._columns[model]] += free
            row[-1] += free
        self.gpus[index] = row

    def column(self, model: str | None) -> int:
        """Return the column of a model in ``gpus``, -1 for any model, -2 if no host has it."""
        return -1 if model is None else self._columns.get(model, _NO_COLUMN)

    def fit(self, request_class: RequestClass, hosts: "Numbers") -> "Numbers":
        """Return those of the hosts whose totals suffice for such a server."""
        enough = (
            self.bulk[hosts] >= (request_class.vcpus, request_class.ram_mib, request_class.disk_gib)
        ).all(axis=1)
        if request_class.gpus:
            column = self.column(request_class.model)
            if column == _NO_COLUMN:
                return hosts[:0]
            enough &= self.gpus[hosts, column] >= request_class.gpus
        fitting: Numbers = hosts[enough]
        return fitting


class CountsByTotals:
    """Counts servers by the totals of hosts.

    :param classes: floating classes, see `is_floating`
    """

    def __init__(self, classes: Sequence[RequestClass], totals: HostTotals) -> None:
        self._bulk = [
            AmountByClass([one.vcpus for one in classes]),
            AmountByClass([one.ram_mib for one in classes]),
            AmountByClass([one.disk_gib for one in classes]),
        ]
        self._sizes = np.array([one.gpus for one in classes], np.float64)
        self._gpus = AmountByClass([one.gpus for one in classes])
        columns = np.array([totals.column(one.model) for one in classes], np.int64)
        missing = columns == _NO_COLUMN
        self._columns = np.where(missing, -1, columns)
        #: Classes for which no host has GPUs.
        self._without_host = missing & (self._sizes > 0)

    def servers(self, bulk: "Numbers", gpus: "Numbers") -> "Scores":
        """Return how many servers of each class (columns) fit on each host (rows).

        :param bulk: rows of `HostTotals.bulk`
        :param gpus: rows of `HostTotals.gpus`
        :returns: whole numbers as floats
        """
        counts = self._gpus.servers(gpus[:, self._columns])
        counts[:, self._without_host] = 0.0
        for column, amount in enumerate(self._bulk):
            amount.limit(counts, bulk[:, column, None])
        return counts

    def usable(self, bulk: "Numbers", gpus: "Numbers") -> "Scores":
        """Return how many GPUs these servers use together."""
        usable: Scores = self.servers(bulk, gpus) * self._sizes
        return usable


class CountsByCells:
    """Counts servers on hosts with NUMA cells.

    :param classes: simple classes, see `is_simple`
    :param cells: the number of cells of all hosts
    :param models: all GPU models of the hosts
    """

    def __init__(self, classes: Sequence[RequestClass], cells: int, models: Iterable[str]) -> None:
        self._columns = {model: number for number, model in enumerate(sorted(set(models)))}
        self._cells = cells
        #: What classes request of the whole host, and of each of their cells.
        self._host = [
            AmountByClass([one.vcpus for one in classes]),
            AmountByClass([one.ram_mib for one in classes]),
            AmountByClass([one.disk_gib for one in classes]),
        ]
        on_cells = [(one, bool(one.numa_cells)) for one in classes]
        self._cell = [
            AmountByClass([one.cell_vcpus * has_cells for one, has_cells in on_cells]),
            AmountByClass([one.cell_pinned_cpus * has_cells for one, has_cells in on_cells]),
            AmountByClass([one.cell_ram_mib * has_cells for one, has_cells in on_cells]),
        ]
        self._gpus = AmountByClass([one.gpus for one in classes])
        #: The column of each class in rows of `_gpu_row`.
        any_model = len(self._columns)
        self._model = np.array(
            [
                any_model if one.model is None else self._columns.get(one.model, any_model + 1)
                for one in classes
            ],
            np.int64,
        )
        self._on_one_cell = np.array([one.numa_cells == 1 for one in classes], np.bool_)
        self._on_all_cells = np.array([one.numa_cells > 1 for one in classes], np.bool_)

    def servers(self, states: Sequence[HostState]) -> "Scores":
        """Return how many servers of each class (columns) fit on each host (rows)."""
        host = np.array([state[1:4] for state in states], np.float64).reshape(-1, 3)
        cell = np.array([[one[:3] for one in state.cells] for state in states], np.float64)
        gpus = np.array(
            [[_gpu_row(one.gpus, self._columns) for one in state.cells] for state in states],
            np.float64,
        )
        counts = self._gpus.servers(gpus.sum(axis=1)[:, self._model])
        for number, amount in enumerate(self._host):
            amount.limit(counts, host[:, number, None])
        total = np.zeros_like(counts)
        for number in range(self._cells):
            slots = np.full_like(counts, MANY)
            for column, amount in enumerate(self._cell):
                amount.limit(slots, cell[:, number, column, None])
            np.minimum(counts, slots, out=counts, where=self._on_all_cells)
            total += np.minimum(slots, self._gpus.servers(gpus[:, number, self._model]))
        np.minimum(counts, total, out=counts, where=self._on_one_cell)
        return counts


class AmountByClass:
    """How much of one resource a server of each class requests."""

    def __init__(self, amounts: Sequence[int]) -> None:
        requested = np.array(amounts, np.float64)
        self._none = requested == 0
        self._divisors = np.where(self._none, 1.0, requested)
        self._any_requests = any(amounts)
        self._all_request = all(amounts)

    def servers(self, free: "Numbers | Scores") -> "Scores":
        """Return for how many servers the free amounts suffice.

        Division of floats is exact here: the quotient of integers below 2**52 is rounded to a
        whole number only if it is one.
        """
        counts: Scores = np.floor(free / self._divisors)
        if not self._all_request:
            counts[:, self._none] = MANY
        return counts

    def limit(self, counts: "Scores", free: "Numbers | Scores") -> None:
        """Reduce the counts of servers, in place, to those for which the free amounts suffice."""
        if self._any_requests:
            np.minimum(counts, self.servers(free), out=counts)


def _gpu_row(groups: Iterable[GpuGroup], columns: Mapping[str, int]) -> list[int]:
    """Return free GPUs by model, then of all models, then 0 for models that no host has."""
    row = [0] * (len(columns) + 2)
    for model, _, free in groups:
        row[columns[model]] += free
        row[-2] += free
    return row
