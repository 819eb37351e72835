# SPDX-License-Identifier: Apache-2.0
"""Places servers in the simulator, on hosts as nova-scheduler knows them while they are empty.

From then on nothing of Nova's is asked but its weighers: what a server takes of its host is worked
out by ``nova_gpu_passthrough.topology``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from nova_gpu_passthrough.packing.request_class import Reach, RequestClass
from nova_gpu_passthrough.scheduler import host_snapshot
from nova_gpu_passthrough.simulator.placing import Placing
from nova_gpu_passthrough.simulator.ranker import Ranker, SimHost


class Flavor(NamedTuple):
    """A flavor with GPUs of at most one alias."""

    name: str
    vcpus: int
    ram_mib: int
    alias: str = ""
    gpus: int = 0
    numa_cells: int = 0

    @property
    def extra_specs(self) -> dict[str, str]:
        """Those besides the alias.

        The simulator knows neither PCIe switches nor partitions of NVSwitch.
        """
        wishes = {"gpu:link": "none", "gpu:switch": "none"} if self.gpus else {}
        return wishes | ({"hw:numa_nodes": str(self.numa_cells)} if self.numa_cells else {})

    def wanted(self, models: Mapping[str, str]) -> RequestClass:
        """What its servers ask for; they have Nova's default NUMA policy and a disk of 1 GiB.

        :param models: of GPUs, by alias
        """
        return RequestClass(
            self.name,
            self.gpus,
            models.get(self.alias),
            self.vcpus,
            0,
            self.ram_mib,
            1,
            self.numa_cells,
            Reach.NOT_FAR if self.gpus and self.numa_cells else Reach.ANYWHERE,
        )


def replay(
    ranker: Ranker,
    states: Iterable[Any],
    mix: Mapping[RequestClass, float],
    wanted: Iterable[RequestClass],
) -> list[str | None]:
    """The hosts of servers that are asked for one after the other; None for one that fits nowhere.

    :param states: nova-scheduler's host states
    """
    fleet = [_simulated(state) for state in states]
    placing = Placing(fleet, ranker, mix, seed=0)
    found = [placing.place(one) for one in wanted]
    return [fleet[place[0]].name if place else None for place in found]


def _simulated(state: Any) -> SimHost:
    whole = host_snapshot.read(state)
    if whole is None:
        raise ValueError(f"{state.host} has no free GPUs")
    left = whole.before()
    models = sorted(group.model for group in left.groups())
    return SimHost(state.host, left, models[0], left.vcpus, left.ram_mib, left.free_gpus)
