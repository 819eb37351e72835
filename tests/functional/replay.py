# SPDX-License-Identifier: Apache-2.0
"""Place servers in the simulator, on the states that nova-scheduler has of empty hosts.

After that, only Nova's weighers are used: ``nova_gpu_passthrough.packing`` computes what servers
allocate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from nova_gpu_passthrough.packing.request_class import GpuLocality, RequestClass
from nova_gpu_passthrough.scheduler import host_snapshot
from nova_gpu_passthrough.simulator.ranker import Ranker, SimulatedHost
from nova_gpu_passthrough.simulator.simulation_run import SimulationRun


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
        """Extra specs other than the alias.

        The simulator knows neither PCIe switches nor partitions of NVSwitch.
        """
        wishes = {"gpu:link": "none", "gpu:switch": "none"} if self.gpus else {}
        return wishes | ({"hw:numa_nodes": str(self.numa_cells)} if self.numa_cells else {})

    def request_class(self, models: Mapping[str, str]) -> RequestClass:
        """Return the class of its servers, with Nova's default NUMA policy and a disk of 1 GiB.

        :param models: GPU models by alias
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
            GpuLocality.LOCAL_OR_UNKNOWN if self.gpus and self.numa_cells else GpuLocality.ANY_NODE,
        )


def replay(
    ranker: Ranker,
    states: Iterable[Any],
    mix: Mapping[RequestClass, float],
    requests: Iterable[RequestClass],
) -> list[str | None]:
    """Return the hosts of servers requested one after the other; None for one that does not fit.

    :param states: nova-scheduler's host states
    """
    fleet = [_simulated(state) for state in states]
    run = SimulationRun(fleet, ranker, mix, seed=0)
    placements = [run.place(request_class) for request_class in requests]
    return [fleet[placement[0]].name if placement else None for placement in placements]


def _simulated(host_state: Any) -> SimulatedHost:
    snapshot = host_snapshot.read(host_state)
    if snapshot is None:
        raise ValueError(f"{host_state.host} has no free GPUs")
    state = snapshot.before()
    models = sorted(group.model for group in state.gpu_groups())
    return SimulatedHost(
        host_state.host, state, models[0], state.vcpus, state.ram_mib, state.free_gpus
    )
