# SPDX-License-Identifier: Apache-2.0
"""Select device choices by the NUMA nodes that a guest fits on by Nova's rules.

NUMATopologyFilter, which runs later, needs several milliseconds for each choice.
"""

import itertools
from collections.abc import Sequence, Set
from typing import TYPE_CHECKING

from nova import objects
from nova.virt import hardware

from nova_gpu_passthrough.topology.fit import DeviceChoice
from nova_gpu_passthrough.topology.matching import match

if TYPE_CHECKING:
    from nova.scheduler.host_manager import HostState

#: The fields of a guest cell that decide where it fits, beside the numbers of its CPUs.
_DEMANDS = ("memory", "pagesize", "cpu_policy", "cpu_thread_policy")


def choices_for_nova(
    host_state: "HostState",
    spec_obj: "objects.RequestSpec",
    choices: Sequence[DeviceChoice],
    most: int,
) -> Sequence[DeviceChoice]:
    """Select the choices that NUMATopologyFilter is to try, the best first.

    :param choices: for a guest with NUMA cells
    :param most: how many at most; those for NUMA nodes that the guest does not fit do not count
    """
    if len(choices) < 2:
        return choices
    guest_nodes = GuestNodes(host_state, spec_obj)
    if guest_nodes.certainly_suit(choices[0]):
        return choices[:1]
    if len(choices) <= most:
        return choices
    fitting = (choice for choice in choices if any(map(guest_nodes.fit, choice.node_sets)))
    # Without any, Nova may still accept a choice with the guest on nodes far from its devices.
    return list(itertools.islice(fitting, most)) or choices[:most]


class GuestNodes:
    """Checks which NUMA nodes of a host the cells of a guest fit on."""

    def __init__(self, host_state: "HostState", spec_obj: "objects.RequestSpec") -> None:
        self._guest = spec_obj.numa_topology
        self._cells = {cell.id: cell for cell in host_state.numa_topology.cells}
        self._limits = objects.NUMATopologyLimits(
            cpu_allocation_ratio=host_state.cpu_allocation_ratio,
            ram_allocation_ratio=host_state.ram_allocation_ratio,
        )
        requested = _networks(spec_obj)
        self._networks = {cell.id: requested & _networks(cell) for cell in self._cells.values()}
        #: What each guest cell requests: the same for most.
        self._demands = [
            (
                # Nova reserves the CPU of the emulator threads beside the first cell.
                number == 0 and "emulator_threads_policy" in self._guest,
                *(getattr(cell, name) for name in _DEMANDS if name in cell),
                len(cell.cpuset),
                len(cell.pcpuset),
            )
            for number, cell in enumerate(self._guest.cells)
        ]
        #: Whether a guest cell fits on a host node, by what it requests.
        self._fits: dict[tuple[tuple[object, ...], int], bool] = {}

    def certainly_suit(self, choice: DeviceChoice) -> bool:
        """Check whether Nova fits the guest on exactly the NUMA nodes of the chosen devices.

        If so, every device is local to the guest, which satisfies any NUMA policy, and no second
        choice is needed. If not, a second choice may be needed. The check takes a thirtieth of the
        time that the filters behind GpuPassthroughFilter spend on a second choice.
        """
        nodes = {device.numa_node for devices in choice.devices.values() for device in devices}
        guest = self._guest
        if choice.missing_ports or len(nodes) != len(guest.cells):
            return False
        if len({(len(c.cpuset), len(c.pcpuset), c.memory, c.pagesize) for c in guest.cells}) > 1:
            # With all cells of the host, Nova may refuse a guest with different cells although it
            # fits: Nova caches by the id of the guest cell what fits, and overwrites this id with
            # that of the host cell while it tries (numa_fit_instance_to_host in
            # nova/virt/hardware.py).
            return False
        cells = [cell for id_, cell in self._cells.items() if id_ in nodes]
        return (
            len(cells) == len(nodes)
            # Nova tries every order of the cells before it refuses.
            and self.fit({cell.id for cell in cells})
            # A copy, since Nova writes the pinning into the guest's topology.
            and self._nova_fits(cells, guest.obj_clone())
        )

    def fit(self, nodes: Set[int]) -> bool:
        """Check whether every cell of the guest fits on a node of its own."""
        if not self._networks_allow(nodes):
            return False
        numbers = range(len(self._guest.cells))
        return match([[n for n in nodes if self._cell_fits(i, n)] for i in numbers]) is not None

    def _cell_fits(self, number: int, node: int) -> bool:
        key = self._demands[number], node
        fits = self._fits.get(key)
        if fits is None:
            guest = objects.InstanceNUMATopology(cells=[self._guest.cells[number].obj_clone()])
            if self._demands[number][0]:
                guest.emulator_threads_policy = self._guest.emulator_threads_policy
            fits = self._fits[key] = self._nova_fits([self._cells[node]], guest)
        return fits

    def _nova_fits(
        self, cells: "list[objects.NUMACell]", guest: "objects.InstanceNUMATopology"
    ) -> bool:
        host = objects.NUMATopology(cells=cells)
        return hardware.numa_fit_instance_to_host(host, guest, None, self._limits) is not None

    def _networks_allow(self, nodes: Set[int]) -> bool:
        """Check whether each network that has NUMA nodes has one of these."""
        with_nodes = frozenset[str | None]().union(*self._networks.values())
        return with_nodes.issubset(itertools.chain(*(self._networks[node] for node in nodes)))


def _networks(owner: "objects.RequestSpec | objects.NUMACell") -> frozenset[str | None]:
    """Return the physical networks of a server or of a host's NUMA node; None: tunnels."""
    metadata = owner.network_metadata if "network_metadata" in owner else None
    if not metadata:
        return frozenset()
    physnets = metadata.physnets if "physnets" in metadata else ()
    tunneled = "tunneled" in metadata and metadata.tunneled
    return frozenset(physnets).union([None] if tunneled else [])
