# SPDX-License-Identifier: Apache-2.0
"""What a host has left for servers of all kinds, before and after a placement."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from nova_gpu_passthrough.packing.allocate import Place, has_room, taken
from nova_gpu_passthrough.packing.host_state import (
    UNLINKED,
    CellState,
    GpuGroup,
    HostState,
    canonical,
    shared,
)
from nova_gpu_passthrough.packing.request_class import RequestClass, of_request
from nova_gpu_passthrough.scheduler import pools, requests
from nova_gpu_passthrough.scheduler.assessment import free_memory
from nova_gpu_passthrough.topology import tags
from nova_gpu_passthrough.topology.model import MAX_GPUS, Gpu, GpuRequest

if TYPE_CHECKING:
    from nova import objects
    from nova.scheduler import host_manager


class WholeHost(NamedTuple):
    """A host's state with the names that its numbers stand for."""

    #: Not in canonical form.
    state: HostState
    #: Indices of cells by NUMA node.
    nodes: Mapping[int, int]
    #: Numbers of (outermost) link groups.
    links: Mapping[str, int]

    def kept(self) -> "WholeHost":
        """The same, with cells that like hosts share."""
        cells = tuple(map(shared, self.state.cells))
        return self._replace(state=self.state._replace(cells=cells))

    def before(self) -> HostState:
        """The state in canonical form."""
        return canonical(self.state)

    def places(self, gpus: Iterable[Gpu]) -> tuple[tuple[Place, int], ...]:
        """From where on the host so many GPUs are."""
        return tuple(Counter(self._place(gpu) for gpu in gpus).items())

    def after(
        self, wanted: RequestClass, places: Iterable[tuple[Place, int]] = ()
    ) -> HostState | None:
        """What is left with a server on it, in canonical form.

        :param places: from where it gets how many GPUs
        :returns: None if these are not all known as GPUs of the host
        """
        gone = dict(places)
        free = {
            Place(cell, group.model, group.link): group.free
            for cell, groups in self._groups()
            for group in groups
        }
        if any(free.get(place, 0) < count for place, count in gone.items()):
            return None
        return taken(self.state, wanted, self._cells(wanted, gone), gone)

    def _groups(self) -> Iterable[tuple[int | None, tuple[GpuGroup, ...]]]:
        yield from enumerate(cell.gpus for cell in self.state.cells)
        yield None, self.state.gpus

    def _place(self, gpu: Gpu) -> Place:
        link = self.links.get(gpu.link_group[0], UNLINKED) if gpu.link_group else UNLINKED
        node = None if gpu.numa_node is None else self.nodes.get(gpu.numa_node)
        return Place(node, gpu.model, link)

    def _cells(self, wanted: RequestClass, gone: Mapping[Place, int]) -> list[int]:
        """Cells that the guest will probably get: those of its GPUs, then the others in the order
        in which Nova tries them (``numa_fit_instance_to_host`` in nova/virt/hardware.py).
        """
        if not wanted.numa_cells:
            return []
        near: Counter[int] = Counter()
        for place, count in gone.items():
            if place.cell is not None:
                near[place.cell] += count
        sign = -1 if wanted.gpus else 1

        def order(index: int) -> tuple[int, bool, int, int, int]:
            cell = self.state.cells[index]
            free = sum(group.free for group in cell.gpus)
            cpus = cell.pinned_cpus if wanted.pinned_cpus else cell.shared_cpus
            return -near[index], not has_room(cell, wanted), sign * free, -cpus, -cell.ram_mib

        return sorted(range(len(self.state.cells)), key=order)[: wanted.numa_cells]


def read(host_state: "host_manager.HostState", has_gpus: bool = False) -> WholeHost | None:
    """What a host has left; None if it has no GPUs of known models.

    Pools that are not as Nova makes them do not count.

    :param has_gpus: whether it has some that may all be taken: pools show free devices only
    """
    free: dict[tuple[int | None, str, str | None], int] = {}
    for pool in host_state.pci_stats.pools if host_state.pci_stats else ():
        model = pools.model_of(pool)
        if model is not None:
            place = _numa_node(pool), model, _link_group(pool)
            free[place] = min(MAX_GPUS, free.get(place, 0) + pool["count"])
    if not (free or has_gpus):
        return None
    topology = host_state.numa_topology
    host_cells: Sequence[objects.NUMACell] = topology.cells if topology else ()
    nodes = {cell.id: index for index, cell in enumerate(host_cells)}
    names = dict.fromkeys(link for _, _, link in free if link)
    links = {link: number for number, link in enumerate(names, UNLINKED + 1)}
    groups: list[list[GpuGroup]] = [[] for _ in host_cells]
    loose: list[GpuGroup] = []
    for (node, model, link), count in free.items():
        index = None if node is None else nodes.get(node)
        (loose if index is None else groups[index]).append(
            GpuGroup(model, links[link] if link else UNLINKED, count)
        )
    ratio = host_state.cpu_allocation_ratio or 1.0
    cells = tuple(
        CellState(
            int(len(cell.cpuset) * ratio) - cell.cpu_usage,
            cell.avail_pcpus,
            free_memory(cell),
            tuple(found),
        )
        for cell, found in zip(host_cells, groups, strict=True)
    )
    state = HostState(
        cells,
        int(host_state.vcpus_total * ratio) - host_state.vcpus_used + _pinned_apart(host_cells),
        host_state.free_ram_mb,
        int(host_state.free_disk_mb) // 1024,
        tuple(loose),
    )
    return WholeHost(state, nodes, links)


def request_class(
    spec_obj: "objects.RequestSpec", request: GpuRequest | None, models: Iterable[str] = ()
) -> RequestClass:
    """What a server asks of its host.

    :param request: what it asks of the GPUs; None if it asks for none
    :param models: models of the GPUs that hosts offer to it; if there are several, any will do
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


def _pinned_apart(cells: "Sequence[objects.NUMACell]") -> int:
    """Pinned vCPUs on CPUs set apart for them: ``vcpus_used`` counts them, ``vcpus_total`` not."""
    return sum(len(cell.pinned_cpus - cell.cpuset) for cell in cells if cell.pinned_cpus)


def _numa_node(pool: Mapping[str, Any]) -> int | None:
    node = pool.get("numa_node")
    return node if type(node) is int and node >= 0 else None


def _link_group(pool: Mapping[str, Any]) -> str | None:
    """The outermost name of the pool's link group."""
    path = pool.get(tags.LINK_GROUP)
    return (path.partition(tags.LINK_SEPARATOR)[0] or None) if type(path) is str else None
