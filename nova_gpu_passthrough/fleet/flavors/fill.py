# SPDX-License-Identifier: Apache-2.0
"""Fill empty hosts with servers, as Placement, filter and claim would, and see what is left."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nova_gpu_passthrough.fleet.aliases import Alias, Key
from nova_gpu_passthrough.fleet.flavors import capacity, reasons
from nova_gpu_passthrough.fleet.flavors.candidate import Candidate
from nova_gpu_passthrough.fleet.flavors.feasibility import Host, gpus_asked
from nova_gpu_passthrough.fleet.flavors.plan import Left, Stranded
from nova_gpu_passthrough.nova_rules import emulate_placement
from nova_gpu_passthrough.nova_rules.host_capacity import Needs, Room
from nova_gpu_passthrough.nova_rules.why_not import Refused
from nova_gpu_passthrough.topology.model import Gpu


@dataclass(frozen=True)
class Filled:
    """A host after the last server."""

    room: Room
    #: Servers by flavor.
    servers: Mapping[str, int]
    #: What refused the next server of the flavor that came last.
    refused: Refused


def alone(
    candidate: Candidate, hosts: Sequence[Host], known: Mapping[Key, Alias]
) -> tuple[Stranded, ...]:
    """Hosts filled with servers of one flavor, by kinds of hosts.

    :param hosts: those that can boot it
    """
    needs = capacity.needs(candidate.flavor, known)
    pinned = needs.guest.pins
    mine = set(gpus_asked(candidate.flavor.extra_specs, known))
    classes = {alias.resource_class for alias in mine}
    found = []
    for alike in _alike((host, host.room) for host in hosts):
        filled = _fill(alike[0].room, {candidate.flavor.name: needs}, {})
        left, whole = (
            _left(one, alike[0], pinned, classes) for one in (filled.room, alike[0].room)
        )
        found.append(
            Stranded(
                tuple(host.layout.host for host in alike),
                filled.servers,
                left,
                whole,
                reasons.why(candidate, alike[0].layout, filled.refused, left),
            )
        )
    return tuple(found)


def best(
    candidates: Sequence[Candidate], hosts: Sequence[Host], known: Mapping[Key, Alias]
) -> tuple[Stranded, ...]:
    """Hosts filled with the mix of flavors that leaves least, by kinds of hosts.

    Of each flavor as many as fit, then of the others the largest first, is one mix.
    """
    found = []
    largest = sorted(candidates, key=lambda candidate: -candidate.flavor.gpus)
    takes = {
        host.layout.host: [c for c in largest if host.layout.host in c.hosts] for host in hosts
    }
    names = {host: tuple(c.flavor.name for c in able) for host, able in takes.items()}
    for alike in _alike((host, (host.room, names[host.layout.host])) for host in hosts):
        host = alike[0]
        able = takes[host.layout.host]
        if not able:
            continue
        needs = {c.flavor.name: capacity.needs(c.flavor, known) for c in able}
        pinned = any(one.guest.pins for one in needs.values())
        mixes = []
        cache: dict[tuple[Room, str], Room | Refused] = {}
        for first in needs:
            order = {first: needs[first], **needs}
            filled = _fill(host.room, order, cache)
            mixes.append((_left(filled.room, host, pinned), filled))
        left, filled = min(mixes, key=lambda mix: (mix[0].gpus, mix[0].vcpus, mix[0].ram_mib))
        found.append(
            Stranded(
                tuple(one.layout.host for one in alike),
                filled.servers,
                left,
                _left(host.room, host, pinned),
            )
        )
    return tuple(found)


def _alike(hosts: Iterable[tuple[Host, Hashable]]) -> Iterator[list[Host]]:
    """Hosts with equal keys, together."""
    groups: dict[Hashable, list[Host]] = {}
    for host, key in hosts:
        groups.setdefault(key, []).append(host)
    yield from groups.values()


def _fill(
    start: Room, order: Mapping[str, Needs], cache: dict[tuple[Room, str], Room | Refused]
) -> Filled:
    """As many servers of each flavor as fit, one flavor after the other."""
    left = start
    servers: dict[str, int] = {}
    last: Refused | None = None
    for name, needs in order.items():
        while True:
            key = left, name
            if key not in cache:
                answer = emulate_placement.place(left, needs)
                cache[key] = answer if isinstance(answer, Refused) else answer.room
            placed = cache[key]
            if isinstance(placed, Refused):
                last = placed
                break
            left = placed
            servers[name] = servers.get(name, 0) + 1
    assert last is not None
    return Filled(left, servers, last)


def _left(left: Room, host: Host, pinned: bool, classes: set[str] | None = None) -> Left:
    """What a room has.

    :param classes: resource classes of the GPUs that count; None: of all
    """
    nodes = {node.cell.id for node in host.layout.nodes}
    cells = [cell for cell in left.cells if cell.id in nodes]
    cpus = [
        len(cell.free_pinned) if pinned else max(0, len(cell.shared) - cell.shared_used)
        for cell in cells
    ]
    return Left(
        sum(
            device.free
            for device in left.devices
            if isinstance(device.device, Gpu)
            and (classes is None or device.resource_class in classes)
        ),
        sum(cpus),
        sum(cell.as_numa_cell().free_memory_mib for cell in cells),
    )
