# SPDX-License-Identifier: Apache-2.0
"""Classes of servers that request the same of their host."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field

from nova_gpu_passthrough.topology.model import GpuRequest, NumaPolicy, Preference


class GpuLocality(enum.IntEnum):
    """The GPUs of its host that a server may get, by NUMA node."""

    #: All GPUs: the NUMA policy ``preferred``, or a guest without NUMA topology.
    ANY_NODE = 0
    #: GPUs on the guest's NUMA nodes, and GPUs whose NUMA node is unknown: ``legacy``.
    LOCAL_OR_UNKNOWN = 1
    #: GPUs on the guest's NUMA nodes: ``required``, and ``socket``, which may be less strict.
    LOCAL = 2


_REACH = {
    NumaPolicy.PREFERRED: GpuLocality.ANY_NODE,
    NumaPolicy.LEGACY: GpuLocality.LOCAL_OR_UNKNOWN,
}


def gpu_locality(policy: NumaPolicy, numa_cells: int, on_few_nodes: bool) -> GpuLocality:
    """Return the GPUs that a guest may get with a PCI NUMA policy.

    :param on_few_nodes: whether the flavor has ``gpu:numa = required``
    """
    if on_few_nodes:
        return GpuLocality.LOCAL
    return _REACH.get(policy, GpuLocality.LOCAL) if numa_cells else GpuLocality.ANY_NODE


@dataclass(frozen=True, slots=True)
class RequestClass:
    """The requests of each server of a class to its host.

    The units are those of the `HostState`. NUMA cells of the guest count as equal.
    """

    #: Not compared: servers of two flavors with equal requests are one class.
    name: str = field(compare=False)
    gpus: int = 0
    #: The model of the GPUs; None: any model.
    model: str | None = None
    #: vCPUs that are not pinned, and vCPUs that are.
    vcpus: int = 0
    pinned_cpus: int = 0
    ram_mib: int = 0
    disk_gib: int = 0
    #: 0: the guest has no NUMA topology.
    numa_cells: int = 0
    gpu_locality: GpuLocality = GpuLocality.ANY_NODE
    #: Whether all GPUs must be of one link group.
    linked: bool = False

    #: The requests of one of the guest's cells; those of the whole guest if it has none.
    cell_vcpus: int = field(init=False, compare=False, repr=False)
    cell_pinned_cpus: int = field(init=False, compare=False, repr=False)
    cell_ram_mib: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        # Computed once, since they are read very often.
        cells = self.numa_cells or 1
        object.__setattr__(self, "cell_vcpus", -(-self.vcpus // cells))
        object.__setattr__(self, "cell_pinned_cpus", -(-self.pinned_cpus // cells))
        object.__setattr__(self, "cell_ram_mib", -(-self.ram_mib // cells))

    def demands_at_least(self, other: "RequestClass") -> bool:
        """Check whether this class requests at least as much as ``other`` of everything.

        Local disk does not count: it rarely decides whether GPUs are usable.
        """
        return (
            self.gpus >= other.gpus
            and other.model in (None, self.model)
            and self.vcpus >= other.vcpus
            and self.pinned_cpus >= other.pinned_cpus
            and self.ram_mib >= other.ram_mib
            and self.numa_cells >= other.numa_cells
            and self.linked >= other.linked
        )


def of_request(
    name: str,
    request: GpuRequest,
    models: Iterable[str],
    vcpus: int,
    ram_mib: int,
    disk_gib: int,
) -> RequestClass:
    """Return the class of a server.

    :param request: the requested GPUs (if any) with the guest's NUMA cells
    :param models: of the GPUs that may serve the request; several: the class has any model
    :param vcpus: of the flavor; not used if the guest has NUMA cells
    """
    cells, names = request.guest_cells, set(models)
    near = request.numa is Preference.REQUIRED
    return RequestClass(
        name,
        request.count,
        names.pop() if len(names) == 1 else None,
        sum(cell.shared_cpus for cell in cells) if cells else vcpus,
        sum(cell.pinned_cpus for cell in cells),
        ram_mib,
        disk_gib,
        len(cells),
        max(
            (gpu_locality(one.numa_policy, len(cells), near) for one in request.gpus),
            default=GpuLocality.ANY_NODE,
        ),
        request.link is Preference.REQUIRED and request.count > 1,
    )
