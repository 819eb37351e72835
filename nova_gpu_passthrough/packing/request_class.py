# SPDX-License-Identifier: Apache-2.0
"""Servers that ask their host for the same, whoever starts them."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field

from nova_gpu_passthrough.topology.model import GpuRequest, NumaPolicy, Preference


class Reach(enum.IntEnum):
    """Which GPUs of its host a server may get."""

    #: All: the NUMA policy ``preferred``, or a guest without NUMA topology.
    ANYWHERE = 0
    #: Those on its NUMA cells and those of which no NUMA node is known: ``legacy``.
    NOT_FAR = 1
    #: Those on its NUMA cells: ``required``, and ``socket``, which may be less strict than that.
    NEAR = 2


_REACH = {NumaPolicy.PREFERRED: Reach.ANYWHERE, NumaPolicy.LEGACY: Reach.NOT_FAR}


def reach(policy: NumaPolicy, numa_cells: int, on_few_nodes: bool) -> Reach:
    """What a PCI NUMA policy means for a guest.

    :param on_few_nodes: ``gpu:numa = required``
    """
    if on_few_nodes:
        return Reach.NEAR
    return _REACH.get(policy, Reach.NEAR) if numa_cells else Reach.ANYWHERE


@dataclass(frozen=True, slots=True)
class RequestClass:
    """What one server of a class asks of its host.

    Units are those of the `HostState` that it is compared with. Where it has NUMA cells, these are
    taken for equal.
    """

    #: Names no two classes apart: servers of two flavors that ask for the same are one class.
    name: str = field(compare=False)
    gpus: int = 0
    #: Model of the GPUs; None: any.
    model: str | None = None
    #: vCPUs that are not pinned, and those that are.
    vcpus: int = 0
    pinned_cpus: int = 0
    ram_mib: int = 0
    disk_gib: int = 0
    #: 0: no NUMA topology.
    numa_cells: int = 0
    reach: Reach = Reach.ANYWHERE
    #: Whether all GPUs must be of one link group.
    linked: bool = False

    #: What one of its cells asks for; the whole, if it has none.
    cell_vcpus: int = field(init=False, compare=False, repr=False)
    cell_pinned_cpus: int = field(init=False, compare=False, repr=False)
    cell_ram_mib: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        # Kept, since they are asked for very often.
        cells = self.numa_cells or 1
        object.__setattr__(self, "cell_vcpus", -(-self.vcpus // cells))
        object.__setattr__(self, "cell_pinned_cpus", -(-self.pinned_cpus // cells))
        object.__setattr__(self, "cell_ram_mib", -(-self.ram_mib // cells))

    def demands_at_least(self, other: "RequestClass") -> bool:
        """Whether such a server wants places that ``other`` could use, too.

        Local disk does not count: it seldom decides whether GPUs are usable.
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
    """What a server asks of its host.

    :param request: what it asks of the GPUs, if of any, with its guest's NUMA cells
    :param models: of the GPUs that may serve it; if there are several, any will do
    :param vcpus: of the flavor; where there are NUMA cells, these tell
    """
    cells, named = request.guest_cells, set(models)
    near = request.numa is Preference.REQUIRED
    return RequestClass(
        name,
        request.count,
        named.pop() if len(named) == 1 else None,
        sum(cell.shared_cpus for cell in cells) if cells else vcpus,
        sum(cell.pinned_cpus for cell in cells),
        ram_mib,
        disk_gib,
        len(cells),
        max(
            (reach(demand.numa_policy, len(cells), near) for demand in request.gpus),
            default=Reach.ANYWHERE,
        ),
        request.link is Preference.REQUIRED and request.count > 1,
    )
