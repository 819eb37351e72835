# SPDX-License-Identifier: Apache-2.0
"""What many hosts have free, in arrays, and how many servers of many classes that suffices for.

Only what holds for a host as a whole: NUMA cells and links are left out.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nova_gpu_passthrough.packing.host_state import HostState
from nova_gpu_passthrough.packing.request_class import Reach, RequestClass

if TYPE_CHECKING:
    from nova_gpu_passthrough.simulator.ranker import Numbers, Scores

#: No host takes more servers than this.
MANY = float(1 << 30)


def is_floating(wanted: RequestClass) -> bool:
    """Whether nothing but a host's totals decides where such a server fits."""
    return (
        not wanted.numa_cells
        and not wanted.pinned_cpus
        and (not wanted.gpus or wanted.reach is not Reach.NEAR)
        and not (wanted.linked and wanted.gpus > 1)
    )


class Amounts:
    """Free vCPUs, RAM, disk and GPUs of hosts, by their index.

    :param models: all models of GPUs that there are
    """

    def __init__(self, states: Sequence[HostState], models: Iterable[str]) -> None:
        self._columns = {model: number for number, model in enumerate(sorted(set(models)))}
        #: One column for each of vCPUs, RAM and disk.
        self.bulk: Numbers = np.zeros((len(states), 3), np.int64)
        #: One column for each model, the last for all.
        self.gpus: Numbers = np.zeros((len(states), len(self._columns) + 1), np.int64)
        for index, state in enumerate(states):
            self.put(index, state)

    def put(self, index: int, state: HostState) -> None:
        """Note what a host has free."""
        self.bulk[index] = state.vcpus, state.ram_mib, state.disk_gib
        row = [0] * (len(self._columns) + 1)
        for model, _, free in state.groups():
            row[self._columns[model]] += free
            row[-1] += free
        self.gpus[index] = row

    def column(self, model: str | None) -> int:
        """Which column of GPUs such servers take from; -2: no host has any."""
        return -1 if model is None else self._columns.get(model, -2)

    def fit(self, wanted: RequestClass, hosts: "Numbers") -> "Numbers":
        """Of these hosts those that have enough as a whole."""
        bulk = self.bulk[hosts]
        enough = (bulk >= (wanted.vcpus, wanted.ram_mib, wanted.disk_gib)).all(axis=1)
        if wanted.gpus:
            column = self.column(wanted.model)
            if column == -2:
                return hosts[:0]
            enough &= self.gpus[hosts, column] >= wanted.gpus
        found: Numbers = hosts[enough]
        return found


class Needs:
    """What one server of each class needs, to be held against `Amounts`.

    :param classes: for all of them `is_floating` must hold
    """

    def __init__(self, classes: Sequence[RequestClass], amounts: Amounts) -> None:
        self._bulk = [
            Divided([wanted.vcpus for wanted in classes]),
            Divided([wanted.ram_mib for wanted in classes]),
            Divided([wanted.disk_gib for wanted in classes]),
        ]
        self._sizes = np.array([wanted.gpus for wanted in classes], np.float64)
        self._gpus = Divided([wanted.gpus for wanted in classes])
        columns = np.array([amounts.column(wanted.model) for wanted in classes], np.int64)
        nowhere = columns == -2
        self._columns = np.where(nowhere, -1, columns)
        #: Classes that no host has GPUs for.
        self._lacking = nowhere & (self._sizes > 0)

    def servers(self, bulk: "Numbers", gpus: "Numbers") -> "Scores":
        """How many servers of each class (columns) fit on each host (rows), as whole floats.

        :param bulk: rows of `Amounts.bulk`
        :param gpus: rows of `Amounts.gpus`
        """
        most = self._gpus.of(gpus[:, self._columns])
        most[:, self._lacking] = 0.0
        for column, amount in enumerate(self._bulk):
            amount.limit(most, bulk[:, column, None])
        return most

    def usable(self, bulk: "Numbers", gpus: "Numbers") -> "Scores":
        """How many GPUs these servers use together."""
        found: Scores = self.servers(bulk, gpus) * self._sizes
        return found


class Divided:
    """An amount, and how much of it each class needs."""

    def __init__(self, needs: Sequence[int]) -> None:
        each = np.array(needs, np.float64)
        self._without = each == 0
        self._each = np.where(self._without, 1.0, each)
        self._needed = any(needs)
        self._by_all = all(needs)

    def of(self, amounts: "Numbers | Scores") -> "Scores":
        """For how many servers the amount suffices.

        Division of floats is exact here: the quotient of integers below 2**52 is rounded to a
        whole number only if it is one.
        """
        found: Scores = np.floor(amounts / self._each)
        if not self._by_all:
            found[:, self._without] = MANY
        return found

    def limit(self, most: "Scores", amounts: "Numbers | Scores") -> None:
        """Lower numbers of servers to those."""
        if self._needed:
            np.minimum(most, self.of(amounts), out=most)
