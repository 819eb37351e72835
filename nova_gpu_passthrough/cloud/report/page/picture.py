# SPDX-License-Identifier: Apache-2.0
"""The fleet as the page draws it: groups of hosts, NUMA nodes in them, GPUs as tiles."""

import itertools
import string
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nova_gpu_passthrough.cloud.report import units
from nova_gpu_passthrough.cloud.report.page import bars, node, words
from nova_gpu_passthrough.cloud.report.page.bars import Bar
from nova_gpu_passthrough.cloud.report.page.words import Look
from nova_gpu_passthrough.cloud.report.snapshot import Snapshot
from nova_gpu_passthrough.cloud.view.model import Device, DeviceState, Host
from nova_gpu_passthrough.topology.tags import LINK_SEPARATOR

#: What marks GPUs of the same server.
_MARKS = string.ascii_uppercase + string.ascii_lowercase


@dataclass(frozen=True)
class Tile:
    """One GPU, or the VFs of one."""

    look: Look
    #: Which of the host's servers has it, or how many of several GPUs are free.
    mark: str
    title: str


@dataclass(frozen=True)
class Cluster:
    """GPUs behind one switch and in one partition."""

    title: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Link:
    """GPUs of a node that are in one link group, or in none."""

    #: What the names of their link groups have in common; empty for those in none.
    name: str
    clusters: tuple[Cluster, ...]


@dataclass(frozen=True)
class Node:
    """A NUMA node with its GPUs."""

    name: str
    links: tuple[Link, ...]
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Holder:
    """A server with GPUs of the host."""

    mark: str
    name: str
    project: str
    gpus: int


@dataclass(frozen=True)
class HostCard:
    """One host."""

    name: str
    #: How many GPUs of which model.
    gpus: str
    #: Empty if all is well.
    status: str
    nodes: tuple[Node, ...]
    bars: tuple[Bar, ...]
    holders: tuple[Holder, ...]
    #: What the picture says, for who does not see it.
    summary: str

    @property
    def has_node_bars(self) -> bool:
        """Whether its nodes tell what the host's own bars would."""
        return any(node.bars for node in self.nodes)


@dataclass(frozen=True)
class Group:
    """Hosts that are alike."""

    name: str
    text: str
    hosts: tuple[HostCard, ...]
    has_gpus: bool


def groups(snapshot: Snapshot) -> tuple[Group, ...]:
    """The fleet file's groups by name, those without GPUs and hosts of no group at the end."""
    order = sorted(snapshot.view.hosts, key=lambda host: (host.group is None, host.group or ""))
    found = []
    for name, members in itertools.groupby(order, key=lambda host: host.group):
        hosts = words.by_name(members)
        found.append(
            Group(
                name or ("Hosts of no group" if len(order) > len(hosts) else "Hosts"),
                _about(hosts, snapshot),
                tuple(_card(host, snapshot) for host in hosts),
                any(host.gpus for host in hosts),
            )
        )
    return tuple(sorted(found, key=lambda group: not group.has_gpus))


def _about(hosts: Sequence[Host], snapshot: Snapshot) -> str:
    gpus = [gpu for host in hosts for gpu in host.gpus]
    zones = sorted({host.availability_zone for host in hosts if host.availability_zone})
    parts = [words.count(len(hosts), "host"), *words.states(gpus, snapshot.stranded)]
    if zones:
        parts.append(f"{'zone' if len(zones) == 1 else 'zones'} {', '.join(zones)}")
    return ", ".join(parts)


def _card(host: Host, snapshot: Snapshot) -> HostCard:
    holding: Counter[str] = Counter(key for gpu in host.gpus for key in gpu.consumers)
    marks = dict(zip(holding, _MARKS, strict=False))
    models = Counter(gpu.model for gpu in host.gpus for _ in range(units.with_unit(gpu)))
    gpus = ", ".join(f"{count} × {model}" for model, count in models.items()) or "no GPUs"
    status, states = words.status(host), words.states(host.gpus, snapshot.stranded)
    return HostCard(
        host.name,
        gpus,
        status,
        tuple(_nodes(host, marks, snapshot)),
        tuple(bars.of_host(host)),
        tuple(_holder(key, mark, holding[key], snapshot) for key, mark in marks.items()),
        "; ".join(filter(None, (f"Host {host.name}", gpus, ", ".join(states[1:]), status))),
    )


def _holder(key: str, mark: str, gpus: int, snapshot: Snapshot) -> Holder:
    server = snapshot.servers.get(key)
    if server is None:
        return Holder(mark, key, "", gpus)
    return Holder(mark, server.name, snapshot.project(server), gpus)


def _nodes(host: Host, marks: Mapping[str, str], snapshot: Snapshot) -> Iterator[Node]:
    rooms = {cell.id: node.room(cell) for cell in host.numa}
    members: dict[int | None, list[Device]] = {number: [] for number in rooms}
    for gpu in host.gpus:
        members.setdefault(gpu.numa_node, []).append(gpu)
    for number, gpus in sorted(members.items(), key=lambda item: (item[0] is None, item[0])):
        yield Node(
            "NUMA node not known" if number is None else f"NUMA node {number}",
            tuple(_links(gpus, marks, snapshot)),
            () if number is None or number not in rooms else tuple(bars.of_node(rooms[number])),
        )


def _links(gpus: Iterable[Device], marks: Mapping[str, str], snapshot: Snapshot) -> Iterator[Link]:
    for linked in _grouped(gpus, lambda gpu: gpu.link_group[:1]):
        paths = [gpu.link_group for gpu in linked]
        common = itertools.takewhile(lambda names: len(set(names)) == 1, zip(*paths, strict=False))
        clusters = tuple(
            Cluster(
                ", ".join(_place(members[0])),
                tuple(_tile(gpu, marks, snapshot) for gpu in members),
            )
            for members in _grouped(linked, lambda gpu: (gpu.switch, gpu.link_group))
        )
        yield Link(LINK_SEPARATOR.join(names[0] for names in common), clusters)


def _tile(gpu: Device, marks: Mapping[str, str], snapshot: Snapshot) -> Tile:
    mark = marks.get(gpu.consumers[0], "") if len(gpu.consumers) == 1 else ""
    if words.several(gpu):
        mark = f"{units.by_state(gpu)[DeviceState.FREE]}/{units.with_unit(gpu)}"
    look = words.look(gpu.state, snapshot.is_stranded(gpu))
    return Tile(look, mark, _title(gpu, look, snapshot))


def _title(gpu: Device, look: Look, snapshot: Snapshot) -> str:
    state = look.word
    if gpu.state is DeviceState.IN_USE and gpu.consumers:
        holders = [_holder(key, "", 1, snapshot) for key in gpu.consumers]
        names = [f"{h.name} of {h.project}" if h.project else h.name for h in holders]
        state = f"{state} by {', '.join(names)}"
    parts = [f"{gpu.address} {gpu.model}: {state}", words.several(gpu), *_place(gpu), gpu.note]
    return "; ".join(filter(None, parts))


def _place(gpu: Device) -> Iterator[str]:
    if gpu.switch:
        yield f"behind switch {gpu.switch}"
    if gpu.link_group:
        yield f"link group {LINK_SEPARATOR.join(gpu.link_group)}"


def _grouped(
    gpus: Iterable[Device], key: Callable[[Device], Hashable]
) -> Iterable[Sequence[Device]]:
    found: dict[Hashable, list[Device]] = {}
    for gpu in gpus:
        found.setdefault(key(gpu), []).append(gpu)
    return found.values()
