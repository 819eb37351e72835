# SPDX-License-Identifier: Apache-2.0
"""What a host has left for servers of all kinds, before and after a placement."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from nova_gpu_passthrough.packing.allocate import GpuLocation, allocate, cell_has_room
from nova_gpu_passthrough.packing.host_state import (
    UNLINKED,
    CellState,
    GpuGroup,
    HostState,
    canonical,
    interned,
)
from nova_gpu_passthrough.packing.request_class import RequestClass, of_request
from nova_gpu_passthrough.scheduler import pools, requests
from nova_gpu_passthrough.scheduler.assessment import free_memory_mib
from nova_gpu_passthrough.topology import tags
from nova_gpu_passthrough.topology.model import MAX_GPUS, FreeGpu, GpuRequest

if TYPE_CHECKING:
    from nova import objects
    from nova.scheduler import host_manager


class HostSnapshot(NamedTuple):
    """A host's state, with the NUMA nodes and link groups that its numbers refer to."""

    #: Not in canonical form.
    state: HostState
    #: Indices of cells by NUMA node.
    nodes: Mapping[int, int]
    #: Numbers of the (outermost) link groups by name.
    links: Mapping[str, int]

    def interned(self) -> "HostSnapshot":
        """Return an equal snapshot that shares equal cells with other hosts."""
        cells = tuple(map(interned, self.state.cells))
        return self._replace(state=self.state._replace(cells=cells))

    def before(self) -> HostState:
        """Return the state in canonical form."""
        return canonical(self.state)

    def locations(self, gpus: Iterable[FreeGpu]) -> tuple[tuple[GpuLocation, int], ...]:
        """Count GPUs by their location on the host."""
        return tuple(Counter(self._location(gpu) for gpu in gpus).items())

    def after(
        self, request_class: RequestClass, gpus: Iterable[tuple[GpuLocation, int]] = ()
    ) -> HostState | None:
        """Return the state with a server on the host, in canonical form.

        :param gpus: how many GPUs the server gets from which location
        :returns: None if the host does not have all of these as known free GPUs
        """
        allocated = dict(gpus)
        free = {
            GpuLocation(cell, group.model, group.link): group.free
            for cell, groups in self._groups()
            for group in groups
        }
        if any(free.get(location, 0) < count for location, count in allocated.items()):
            return None
        cells = self._guest_cells(request_class, allocated)
        return allocate(self.state, request_class, cells, allocated)

    def _groups(self) -> Iterable[tuple[int | None, tuple[GpuGroup, ...]]]:
        yield from enumerate(cell.gpus for cell in self.state.cells)
        yield None, self.state.gpus

    def _location(self, gpu: FreeGpu) -> GpuLocation:
        link = self.links.get(gpu.link_group[0], UNLINKED) if gpu.link_group else UNLINKED
        cell = None if gpu.numa_node is None else self.nodes.get(gpu.numa_node)
        return GpuLocation(cell, gpu.model, link)

    def _guest_cells(
        self, request_class: RequestClass, gpus: Mapping[GpuLocation, int]
    ) -> list[int]:
        """Return the indices of the cells that the guest will probably get.

        These are the cells of its GPUs, then the others in the order in which Nova tries them
        (``numa_fit_instance_to_host`` in nova/virt/hardware.py).
        """
        if not request_class.numa_cells:
            return []
        allocated: Counter[int] = Counter()
        for location, count in gpus.items():
            if location.cell is not None:
                allocated[location.cell] += count
        sign = -1 if request_class.gpus else 1

        def order(index: int) -> tuple[int, bool, int, int, int]:
            cell = self.state.cells[index]
            free = sum(group.free for group in cell.gpus)
            cpus = cell.pinned_cpus if request_class.pinned_cpus else cell.shared_cpus
            has_room = cell_has_room(cell, request_class)
            return -allocated[index], not has_room, sign * free, -cpus, -cell.ram_mib

        return sorted(range(len(self.state.cells)), key=order)[: request_class.numa_cells]


def read(host_state: "host_manager.HostState", has_gpus: bool = False) -> HostSnapshot | None:
    """Read what a host has left; return None if it has no GPUs of known models.

    Malformed pools are ignored.

    :param has_gpus: whether the host is known to have GPUs, which may all be in use: the pools show
        free devices only
    """
    free: dict[tuple[int | None, str, str | None], int] = {}
    for pool in host_state.pci_stats.pools if host_state.pci_stats else ():
        model = pools.model_of(pool)
        if model is not None:
            location = _numa_node(pool), model, _link_group(pool)
            free[location] = min(MAX_GPUS, free.get(location, 0) + pool["count"])
    if not (free or has_gpus):
        return None
    topology = host_state.numa_topology
    host_cells: Sequence[objects.NUMACell] = topology.cells if topology else ()
    nodes = {cell.id: index for index, cell in enumerate(host_cells)}
    names = dict.fromkeys(link for _, _, link in free if link)
    links = {link: number for number, link in enumerate(names, UNLINKED + 1)}
    groups: list[list[GpuGroup]] = [[] for _ in host_cells]
    without_cell: list[GpuGroup] = []
    for (node, model, link), count in free.items():
        index = None if node is None else nodes.get(node)
        (without_cell if index is None else groups[index]).append(
            GpuGroup(model, links[link] if link else UNLINKED, count)
        )
    ratio = host_state.cpu_allocation_ratio or 1.0
    cells = tuple(
        CellState(
            int(len(cell.cpuset) * ratio) - cell.cpu_usage,
            cell.avail_pcpus,
            free_memory_mib(cell),
            tuple(cell_groups),
        )
        for cell, cell_groups in zip(host_cells, groups, strict=True)
    )
    vcpus = int(host_state.vcpus_total * ratio) - host_state.vcpus_used
    state = HostState(
        cells,
        vcpus + dedicated_cpus_used(host_cells),
        host_state.free_ram_mb,
        int(host_state.free_disk_mb) // 1024,
        tuple(without_cell),
    )
    return HostSnapshot(state, nodes, links)


def request_class(
    spec_obj: "objects.RequestSpec", request: GpuRequest | None, models: Iterable[str] = ()
) -> RequestClass:
    """Return the class of the requested server.

    :param request: its GPU request; None if it requests no GPUs
    :param models: models of the GPUs that hosts offer; if there are several, any model will do
    """
    flavor = spec_obj.flavor
    root = 0 if "is_bfv" in spec_obj and spec_obj.is_bfv else flavor.root_gb
    if request is None:
        request = GpuRequest((), guest_cells=requests.guest_cells(spec_obj.numa_topology))
    return of_request(
        flavor.name if "name" in flavor else "",
        request,
        models,
        flavor.vcpus,
        flavor.memory_mb,
        root + flavor.ephemeral_gb + -(-flavor.swap // 1024),
    )


def dedicated_cpus_used(cells: "Sequence[objects.NUMACell]") -> int:
    """Count the pinned CPUs of the dedicated set.

    Nova's ``vcpus_used`` includes them, ``vcpus_total`` does not.
    """
    return sum(len(cell.pinned_cpus - cell.cpuset) for cell in cells if cell.pinned_cpus)


def _numa_node(pool: Mapping[str, Any]) -> int | None:
    node = pool.get("numa_node")
    return node if type(node) is int and node >= 0 else None


def _link_group(pool: Mapping[str, Any]) -> str | None:
    """Return the outermost name of the pool's link group."""
    path = pool.get(tags.LINK_GROUP)
    return (path.partition(tags.LINK_SEPARATOR)[0] or None) if type(path) is str else None
