# SPDX-License-Identifier: Apache-2.0
"""Hosts and flavors of a fleet file or of inventories, for the simulator.

Hosts are empty, with the CPUs, memory and GPUs for servers that the nova.conf made for them gives.
Disk is not known and not counted.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet import demand, flavors, resolve
from nova_gpu_passthrough.fleet.flavors import capacity, layout
from nova_gpu_passthrough.fleet.model import FleetFile, HostGroup
from nova_gpu_passthrough.inventory import store
from nova_gpu_passthrough.nova_rules.host_capacity import Room
from nova_gpu_passthrough.packing.host_state import (
    UNLINKED,
    CellState,
    GpuGroup,
    HostState,
    canonical,
)
from nova_gpu_passthrough.packing.request_class import RequestClass, of_request
from nova_gpu_passthrough.simulator.ranker import SimHost
from nova_gpu_passthrough.topology.model import Gpu

if TYPE_CHECKING:
    from nova_gpu_passthrough.fleet.resolve import Resolved

_GROUP = "all"


def of_inventories(paths: Sequence[Path]) -> "Resolved":
    """A fleet of these hosts, with the flavors that it would get without a fleet file.

    :raises UserError: if an inventory cannot be read, or two are of one host
    """
    inventories = {}
    for path in paths:
        inventory = store.load(path)
        if inventory.host in inventories:
            raise UserError(
                f"{path} is of host {inventory.host}, of which another inventory was named; name "
                "each host once"
            )
        inventories[inventory.host] = inventory
    group = HostGroup(_GROUP, ())
    file = FleetFile("simulated", (group,))
    return resolve.derive(file, dict.fromkeys(inventories, group), inventories)


def hosts(resolved: "Resolved") -> list[SimHost]:
    """The fleet's hosts that have GPUs for servers."""
    found = []
    for offer in resolved.offers:
        place = layout.of(offer, resolved.aliases, resolved.settings)
        state = _state(capacity.of(place, resolved.aliases, resolved.settings))
        models: Counter[str] = Counter()
        for group in state.groups():
            models[group.model] += group.free
        found.append(
            SimHost(
                offer.host,
                state,
                max(models, key=models.__getitem__, default=None),
                state.vcpus,
                state.ram_mib,
                state.free_gpus,
            )
        )
    return found


def classes(resolved: "Resolved") -> Mapping[str, RequestClass]:
    """What servers of each of the fleet's flavors ask of their host, by name.

    Flavors that no host could boot are left out.
    """
    aliases = demand.by_name(resolved.aliases.values())
    found = {}
    for flavor in flavors.make(resolved).flavors:
        size = demand.Size(flavor.vcpus, flavor.ram_mib)
        asked = demand.read(size, flavor.extra_specs, aliases)
        found[flavor.name] = of_request(
            flavor.name, asked.needs.request, asked.models, flavor.vcpus, flavor.ram_mib, 0
        )
    return found


def _state(empty: Room) -> HostState:
    amounts, ratio = empty.amounts, empty.ratios.cpu
    groups: dict[int | None, list[GpuGroup]] = {}
    links: dict[str, int] = {}
    cells = {cell.id for cell in empty.cells}
    for one in empty.devices:
        gpu = one.device
        if isinstance(gpu, Gpu) and one.free:
            link = UNLINKED
            if gpu.link_group:
                link = links.setdefault(gpu.link_group[0], len(links) + 1)
            node = gpu.numa_node if gpu.numa_node in cells else None
            groups.setdefault(node, []).append(GpuGroup(gpu.model, link, one.free))
    return canonical(
        HostState(
            tuple(
                CellState(
                    int(len(cell.shared) * ratio),
                    len(cell.dedicated),
                    sum(pages.free_kib for pages in cell.pages) // 1024,
                    tuple(groups.get(cell.id, ())),
                )
                for cell in empty.cells
            ),
            amounts["VCPU"].free,
            amounts["MEMORY_MB"].free,
            0,
            tuple(groups.get(None, ())),
        )
    )
