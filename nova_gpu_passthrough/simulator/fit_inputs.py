# SPDX-License-Identifier: Apache-2.0
"""Describe simulated hosts and requests to ``topology.fit``, which chooses GPUs on a host."""

import itertools
from collections.abc import Sequence

from nova_gpu_passthrough.packing.host_state import UNLINKED, GpuGroup, HostState
from nova_gpu_passthrough.packing.request_class import GpuLocality, RequestClass
from nova_gpu_passthrough.policies.mix import NUMA_POLICIES
from nova_gpu_passthrough.topology.model import (
    FreeGpu,
    GpuRequest,
    GuestCell,
    HostGpus,
    NumaCell,
    PciRequest,
    Preference,
)

_REQUEST_ID = "gpu"


def host_gpus(state: HostState, request_class: RequestClass) -> HostGpus:
    """Return the GPUs of a host that match the class, and its NUMA cells if guests have any."""
    gpus: list[FreeGpu] = []
    for node, cell in enumerate(state.cells):
        gpus += _gpus(cell.gpus, node, len(gpus))
    gpus += _gpus(state.gpus, None, len(gpus))
    cells = (
        tuple(
            # The free amounts, since the states do not contain totals.
            NumaCell(number, None, cell.shared_cpus, cell.pinned_cpus, cell.ram_mib, cell.ram_mib)
            for number, cell in enumerate(state.cells)
        )
        if request_class.numa_cells
        else ()
    )
    matching = tuple(gpu for gpu in gpus if request_class.model in (None, gpu.model))
    return HostGpus({_REQUEST_ID: matching}, cells=cells)


def gpu_request(request_class: RequestClass) -> GpuRequest:
    """Return the GPU request of a server of the class."""
    cell = GuestCell(
        request_class.cell_vcpus, request_class.cell_pinned_cpus, request_class.cell_ram_mib
    )
    locality = request_class.gpu_locality
    on_few_nodes = locality is GpuLocality.LOCAL and not request_class.numa_cells
    return GpuRequest(
        (PciRequest(_REQUEST_ID, _REQUEST_ID, request_class.gpus, NUMA_POLICIES[locality]),),
        link=Preference.REQUIRED if request_class.linked else Preference.PREFERRED,
        numa=Preference.REQUIRED if on_few_nodes else Preference.PREFERRED,
        guest_cells=(cell,) * request_class.numa_cells,
    )


def link_name(link: int) -> str:
    """Return the name that a link group of a state has in `host_gpus`."""
    return f"link{link}"


def _gpus(groups: Sequence[GpuGroup], node: int | None, start: int) -> list[FreeGpu]:
    numbers = itertools.count(start)
    return [
        FreeGpu(
            f"0000:{next(numbers):02x}:00.0",
            group.model,
            node,
            () if group.link == UNLINKED else (link_name(group.link),),
        )
        for group in groups
        for _ in range(group.free)
    ]
