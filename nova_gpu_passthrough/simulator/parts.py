# SPDX-License-Identifier: Apache-2.0
"""Amounts of vCPUs in parts: traces may count in thousandths, fleets count whole ones."""

import dataclasses
from collections.abc import Sequence

from nova_gpu_passthrough.packing.host_state import HostState
from nova_gpu_passthrough.packing.request_class import RequestClass
from nova_gpu_passthrough.simulator.ranker import SimHost
from nova_gpu_passthrough.simulator.trace import Trace


def of_hosts(hosts: Sequence[SimHost], parts: int) -> list[SimHost]:
    """The hosts in so many parts; a multiple of those that they have."""
    return [
        host
        if host.vcpu_parts == parts
        else host._replace(
            state=_state(host.state, parts // host.vcpu_parts),
            vcpus=host.vcpus * (parts // host.vcpu_parts),
            vcpu_parts=parts,
        )
        for host in hosts
    ]


def of_trace(trace: Trace, parts: int) -> Trace:
    """The same for tasks."""
    if trace.vcpu_parts == parts:
        return trace
    factor = parts // trace.vcpu_parts
    classes = {task.wanted: of_class(task.wanted, factor) for task in trace.tasks}
    return Trace([task._replace(wanted=classes[task.wanted]) for task in trace.tasks], parts)


def of_class(wanted: RequestClass, factor: int) -> RequestClass:
    """A class with vCPUs in smaller parts."""
    return dataclasses.replace(
        wanted, vcpus=wanted.vcpus * factor, pinned_cpus=wanted.pinned_cpus * factor
    )


def _state(state: HostState, factor: int) -> HostState:
    cells = tuple(
        cell._replace(shared_cpus=cell.shared_cpus * factor, pinned_cpus=cell.pinned_cpus * factor)
        for cell in state.cells
    )
    return state._replace(cells=cells, vcpus=state.vcpus * factor)
