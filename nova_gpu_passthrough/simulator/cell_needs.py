# SPDX-License-Identifier: Apache-2.0
"""How many servers of many classes fit on many hosts of which the NUMA cells count.

The same arithmetic as in ``topology.usable``, by arrays, for the classes where it is simple.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nova_gpu_passthrough.packing.host_state import GpuGroup, HostState
from nova_gpu_passthrough.packing.request_class import Reach, RequestClass
from nova_gpu_passthrough.simulator.amounts import MANY, Divided, is_floating

if TYPE_CHECKING:
    from nova_gpu_passthrough.simulator.ranker import Scores


def is_simple(wanted: RequestClass, cells: int) -> bool:
    """Whether `CellNeeds` counts such servers on hosts with so many cells.

    Those that float; those with one cell, or as many as the host, whose GPUs must be there and need
    not be linked.
    """
    return is_floating(wanted) or (
        wanted.numa_cells in (1, cells)
        and (not wanted.gpus or wanted.reach is Reach.NEAR)
        and not (wanted.linked and wanted.gpus > 1)
    )


def has_cells(state: HostState, cells: int) -> bool:
    """Whether a host has so many cells, and all its GPUs on them."""
    return len(state.cells) == cells and not state.gpus


class CellNeeds:
    """What one server of each class needs, to be held against states.

    :param classes: simple ones
    :param cells: how many cells all states have
    :param models: all models of GPUs that there are
    """

    def __init__(self, classes: Sequence[RequestClass], cells: int, models: Iterable[str]) -> None:
        self._columns = {model: number for number, model in enumerate(sorted(set(models)))}
        self._cells = cells
        #: The amounts of a host by which a class is divided, and those of a cell.
        self._host = [
            Divided([one.vcpus for one in classes]),
            Divided([one.ram_mib for one in classes]),
            Divided([one.disk_gib for one in classes]),
        ]
        near = [bool(one.numa_cells) for one in classes]
        self._cell = [
            Divided([one.cell_vcpus * so for one, so in zip(classes, near, strict=True)]),
            Divided([one.cell_pinned_cpus * so for one, so in zip(classes, near, strict=True)]),
            Divided([one.cell_ram_mib * so for one, so in zip(classes, near, strict=True)]),
        ]
        self._gpus = Divided([one.gpus for one in classes])
        self._last = len(self._columns)
        #: The column of each class's model; an empty one where no host has it.
        self._model = np.array(
            [
                self._last + 1
                if one.model is not None and one.model not in self._columns
                else self._last
                if one.model is None
                else self._columns[one.model]
                for one in classes
            ],
            np.int64,
        )
        self._one = np.array([one.numa_cells == 1 for one in classes], np.bool_)
        self._all = np.array([one.numa_cells > 1 for one in classes], np.bool_)

    def servers(self, states: Sequence[HostState]) -> "Scores":
        """How many servers of each class (columns) fit on each host (rows), as whole floats."""
        host = np.array([state[1:4] for state in states], np.float64).reshape(-1, 3)
        cell = np.array([[one[:3] for one in state.cells] for state in states], np.float64)
        near = np.array(
            [[_by_model(one.gpus, self._columns) for one in state.cells] for state in states],
            np.float64,
        )
        most = self._gpus.of(near.sum(axis=1)[:, self._model])
        for number, amount in enumerate(self._host):
            amount.limit(most, host[:, number, None])
        total = np.zeros_like(most)
        for number in range(self._cells):
            slots = np.full_like(most, MANY)
            for column, amount in enumerate(self._cell):
                amount.limit(slots, cell[:, number, column, None])
            np.minimum(most, slots, out=most, where=self._all)
            total += np.minimum(slots, self._gpus.of(near[:, number, self._model]))
        np.minimum(most, total, out=most, where=self._one)
        return most


def _by_model(groups: Iterable[GpuGroup], columns: Mapping[str, int]) -> list[int]:
    """Free GPUs by model, then of all, then none."""
    row = [0] * (len(columns) + 2)
    for model, _, free in groups:
        row[columns[model]] += free
        row[-2] += free
    return row
