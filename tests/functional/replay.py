# SPDX-License-Identifier: Apache-2.0
"""Places servers on hosts without Nova: the same policy, driven by itself.

``Replay`` starts from what nova-scheduler knows of empty hosts. From then on nothing of Nova's is
asked: what a server takes of its host is worked out by ``nova_gpu_passthrough.topology``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

from nova_gpu_passthrough.policies.base import HostPolicy, Offer
from nova_gpu_passthrough.topology.fit import DeviceChoice, Refusal, fit
from nova_gpu_passthrough.topology.guest import read as read_guest
from nova_gpu_passthrough.topology.host_cell import HostCell, Pages
from nova_gpu_passthrough.topology.host_state import CellState, GpuGroup, HostState, canonical
from nova_gpu_passthrough.topology.model import Demand, Gpu, GpuRequest
from nova_gpu_passthrough.topology.placing import Placed, place
from nova_gpu_passthrough.topology.request_class import RequestClass, reach
from nova_gpu_passthrough.topology.room import Amount, Kind, Needs, Query, Room, RoomDevice
from tests.embedded.fleet import GpuHost

#: Of a device without a resource class of its own (nova/compute/pci_placement_translator.py).
_CLASS = "CUSTOM_PCI_{}_{}"


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
        """Those besides the alias."""
        return {"hw:numa_nodes": str(self.numa_cells)} if self.numa_cells else {}


class Replay:
    """Hosts as the replay knows them.

    :param kinds: vendor and product id by alias
    """

    def __init__(
        self,
        policy: HostPolicy,
        hosts: Mapping[str, GpuHost],
        states: Mapping[str, Any],
        kinds: Mapping[str, tuple[str, str]],
    ) -> None:
        self.policy = policy
        self.kinds = {
            alias: Kind(_CLASS.format(*(name.upper() for name in ids)))
            for alias, ids in kinds.items()
        }
        self.rooms = {name: _room(hosts[name], state) for name, state in states.items()}
        self.models = {
            alias: {
                one.device.model
                for room in self.rooms.values()
                for one in room.of(kind)
                if isinstance(one.device, Gpu)
            }
            for alias, kind in self.kinds.items()
        }
        for name, room in self.rooms.items():
            policy.observe(name, state_of(room))

    def boot(self, flavor: Flavor) -> str | None:
        """The host of a new server; None if there is none."""
        needs = self._needs(flavor)
        placed = {
            name: answer
            for name, room in self.rooms.items()
            if (answer := self._placed(room, needs))
        }
        if flavor.gpus:
            self.policy.learn(self._class(flavor, needs))
        offers = [
            Offer(
                state_of(self.rooms[name]),
                state_of(answer.room),
                answer.choice.quality if answer.choice else 1.0,
            )
            for name, answer in placed.items()
        ]
        # Hosts of the same rank are Nova's RAM weigher's to tell apart.
        ranks = dict(zip(placed, self.policy.rank(offers), strict=True))
        best = max(placed, key=lambda name: (ranks[name], self._free_ram(name)), default=None)
        if best is not None:
            self.rooms[best] = placed[best].room
            self.policy.observe(best, state_of(self.rooms[best]))
        return best

    def _placed(self, room: Room, needs: Needs) -> Placed | None:
        """The server on a host; where it fits equally well on several NUMA nodes, the cheapest."""
        answer = fit(room.offers(needs), needs.request) if needs.request.gpus else ()
        if isinstance(answer, Refusal):
            return None
        equal = [choice for choice in answer if choice.fit_key() == answer[0].fit_key()]
        if len(equal) < 2:
            placed = place(room, needs)
            return placed if isinstance(placed, Placed) else None
        found = [
            placed._replace(room=_given_back(placed.room, room))
            for choice in equal
            if isinstance(placed := place(_only(room, choice), needs), Placed)
        ]
        before = state_of(room)
        return min(
            found, key=lambda one: self.policy.price(before, state_of(one.room)), default=None
        )

    def _free_ram(self, name: str) -> int:
        return self.rooms[name].amounts["MEMORY_MB"].free

    def _needs(self, flavor: Flavor) -> Needs:
        demands: tuple[Demand, ...] = ()
        if flavor.gpus:
            demands = (Demand(flavor.alias, flavor.alias, flavor.gpus),)
        guest = read_guest(flavor.vcpus, flavor.ram_mib, flavor.extra_specs)
        return Needs(
            GpuRequest(demands, guest_cells=guest.cells),
            guest,
            tuple((demand.id, self.kinds[flavor.alias]) for demand in demands),
            Query((("VCPU", flavor.vcpus), ("MEMORY_MB", flavor.ram_mib), ("DISK_GB", 1))),
        )

    def _class(self, flavor: Flavor, needs: Needs) -> RequestClass:
        (model,) = self.models[flavor.alias]
        return RequestClass(
            flavor.name,
            flavor.gpus,
            model,
            flavor.vcpus,
            0,
            flavor.ram_mib,
            1,
            flavor.numa_cells,
            reach(needs.request.gpus[0].numa_policy, flavor.numa_cells, on_few_nodes=False),
        )


def _only(room: Room, choice: DeviceChoice) -> Room:
    """The host with no GPUs to offer but these."""
    chosen = {gpu.address for gpu in choice.gpus}
    return dataclasses.replace(
        room,
        devices=tuple(
            one if one.device.address in chosen else one._replace(free=0, reserved=one.free)
            for one in room.devices
        ),
    )


def _given_back(left: Room, before: Room) -> Room:
    """The host with all that `_only` took away."""
    return dataclasses.replace(
        left,
        devices=tuple(
            now._replace(free=old.free, reserved=0) if now.reserved else now
            for now, old in zip(left.devices, before.devices, strict=True)
        ),
    )


def state_of(room: Room) -> HostState:
    """A room as policies see it."""
    amounts, ratio = room.amounts, room.ratios.cpu
    groups: dict[int | None, list[GpuGroup]] = {}
    links: dict[str, int] = {}
    for one in room.devices:
        gpu = one.device
        if isinstance(gpu, Gpu) and one.free:
            link = links.setdefault(gpu.link_group[0], len(links) + 1) if gpu.link_group else 0
            groups.setdefault(gpu.numa_node, []).append(GpuGroup(gpu.model, link, one.free))
    return canonical(
        HostState(
            tuple(
                CellState(
                    int(len(cell.shared) * ratio) - cell.shared_used,
                    len(cell.free_pinned),
                    cell.as_numa_cell().free_memory_mib,
                    tuple(groups.get(cell.id, ())),
                )
                for cell in room.cells
            ),
            amounts["VCPU"].free,
            amounts["MEMORY_MB"].free,
            amounts["DISK_GB"].free,
        )
    )


def _room(host: GpuHost, state: Any) -> Room:
    """What nova-scheduler's HostState says of an empty host."""
    ratio = state.cpu_allocation_ratio
    return Room(
        (
            ("VCPU", Amount(int(state.vcpus_total * ratio), allocation_ratio=ratio)),
            ("MEMORY_MB", Amount(state.free_ram_mb)),
            ("DISK_GB", Amount(state.free_disk_mb // 1024)),
        ),
        tuple(
            HostCell(
                cell.id,
                cell.memory,
                cell.socket,
                frozenset(cell.cpuset),
                dedicated=frozenset(cell.pcpuset),
                siblings=tuple(map(frozenset, cell.siblings)),
                pages=tuple(
                    Pages(pages.size_kb, pages.total, pages.used, pages.reserved)
                    for pages in cell.mempages
                ),
            )
            for cell in state.numa_topology.cells
        ),
        tuple(
            RoomDevice(
                _CLASS.format(gpu.vendor_id.upper(), gpu.product_id.upper()),
                Gpu(
                    gpu.address,
                    gpu.model or "",
                    gpu.numa_node,
                    tuple(gpu.link_group.split("/")) if gpu.link_group else (),
                    gpu.switch,
                    gpu.card,
                    f"{host.name} {gpu.address}",
                ),
            )
            for gpu in sorted(host.gpus, key=lambda gpu: gpu.address)
            if gpu.role == "gpu"
        ),
    )
