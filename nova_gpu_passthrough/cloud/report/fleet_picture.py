# SPDX-License-Identifier: Apache-2.0
"""The picture of the fleet on the page: groups of hosts, their NUMA nodes, and GPUs as tiles."""

import itertools
import string
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nova_gpu_passthrough.cloud.report import formatting, gpu_counts, usage
from nova_gpu_passthrough.cloud.report.formatting import DisplayState
from nova_gpu_passthrough.cloud.report.snapshot import Snapshot
from nova_gpu_passthrough.cloud.report.usage import UsageBar
from nova_gpu_passthrough.cloud.view import device_counts
from nova_gpu_passthrough.cloud.view.model import CloudDevice, CloudHost, DeviceState
from nova_gpu_passthrough.fleet.model import RACK
from nova_gpu_passthrough.topology.tags import LINK_SEPARATOR

#: Letters that mark the GPUs of the same server.
_MARKS = string.ascii_uppercase + string.ascii_lowercase


@dataclass(frozen=True)
class GpuTile:
    """One GPU, or the VFs of one."""

    display_state: DisplayState
    #: The letter of its server on this host; for several units, how many are free. Empty where the
    #: symbol of the state has a sign.
    mark: str
    title: str


@dataclass(frozen=True)
class TileCluster:
    """Tiles of GPUs behind one switch and in one partition."""

    title: str
    tiles: tuple[GpuTile, ...]


@dataclass(frozen=True)
class LinkedClusters:
    """Clusters of a NUMA node whose GPUs are in one link group, or in none."""

    #: The common part of the names of their link groups; empty for GPUs in none.
    name: str
    clusters: tuple[TileCluster, ...]


@dataclass(frozen=True)
class NodeBox:
    """A NUMA node with its GPUs."""

    name: str
    links: tuple[LinkedClusters, ...]
    bars: tuple[UsageBar, ...]


@dataclass(frozen=True)
class CardServer:
    """A server with GPUs of the host."""

    #: Its letter; empty if it holds stuck GPUs only.
    mark: str
    name: str
    project: str
    gpus: int
    #: Its status, unless it is ACTIVE.
    status: str = ""
    idle: bool = False
    #: Whether it should not have its GPUs.
    stuck: bool = False


@dataclass(frozen=True)
class HostCard:
    """One host."""

    name: str
    #: Number of GPUs by model.
    gpus: str
    #: Why it takes no servers; empty if it takes servers.
    status: str
    nodes: tuple[NodeBox, ...]
    bars: tuple[UsageBar, ...]
    servers: tuple[CardServer, ...]
    #: Its failure domains besides the rack, and the projects that alone may use it.
    remarks: str
    #: The card as text, for screen readers and the page's filter.
    summary: str

    @property
    def has_node_bars(self) -> bool:
        """Whether its NUMA nodes have bars, so that bars of the host are not needed."""
        return any(node.bars for node in self.nodes)


@dataclass(frozen=True)
class CardRack:
    """The cards of the hosts of one host group in one rack."""

    #: Empty for hosts whose rack is not known, where no host of the group has one.
    name: str
    text: str
    hosts: tuple[HostCard, ...]


@dataclass(frozen=True)
class CardGroup:
    """The cards of the hosts of one host group."""

    name: str
    text: str
    racks: tuple[CardRack, ...]
    has_gpus: bool


def groups(snapshot: Snapshot) -> tuple[CardGroup, ...]:
    """Return the fleet file's host groups by name; groups without GPUs are last.

    Hosts without a group follow the groups.
    """
    order = sorted(snapshot.view.hosts, key=lambda host: (host.group is None, host.group or ""))
    cards = []
    for name, members in itertools.groupby(order, key=lambda host: host.group):
        hosts = formatting.sort_hosts(members)
        cards.append(
            CardGroup(
                name or ("Hosts without a group" if len(order) > len(hosts) else "Hosts"),
                _describe_hosts(hosts, snapshot),
                tuple(_racks(hosts, snapshot)),
                any(host.gpus for host in hosts),
            )
        )
    return tuple(sorted(cards, key=lambda group: not group.has_gpus))


def _racks(hosts: Sequence[CloudHost], snapshot: Snapshot) -> Iterator[CardRack]:
    """Yield the racks by name; hosts without rack are last."""
    by_rack: dict[str, list[CloudHost]] = {}
    for host in hosts:
        by_rack.setdefault(host.domains.get(RACK, ""), []).append(host)
    for name in sorted(by_rack, key=lambda name: (not name, formatting.natural_key(name))):
        members = by_rack[name]
        counts = gpu_counts.count(snapshot, members)
        texts = [formatting.quantity(len(members), "host")]
        if counts.total:
            texts.append(formatting.free_gpus(counts))
        yield CardRack(
            f"Rack {name}" if name else "No rack" if len(by_rack) > 1 else "",
            ", ".join(texts),
            tuple(_card(host, snapshot) for host in members),
        )


def _describe_hosts(hosts: Sequence[CloudHost], snapshot: Snapshot) -> str:
    zones = sorted({host.availability_zone for host in hosts if host.availability_zone})
    texts = [
        formatting.quantity(len(hosts), "host"),
        *formatting.count_gpus(gpu_counts.count(snapshot, hosts)),
    ]
    if zones:
        texts.append(f"{'zone' if len(zones) == 1 else 'zones'} {', '.join(zones)}")
    return ", ".join(texts)


def _card(host: CloudHost, snapshot: Snapshot) -> HostCard:
    gpus_by_consumer: Counter[str] = Counter(key for gpu in host.gpus for key in gpu.consumers)
    stuck = {key for gpu in host.gpus if gpu.state is DeviceState.STUCK for key in gpu.consumers}
    marks = dict(zip((key for key in gpus_by_consumer if key not in stuck), _MARKS, strict=False))
    models = Counter(gpu.model for gpu in host.gpus for _ in range(device_counts.unit_count(gpu)))
    gpus = ", ".join(f"{count} × {model}" for model, count in models.items()) or "no GPUs"
    status = formatting.host_status(host)
    states = formatting.count_gpus(gpu_counts.count(snapshot, [host]))
    domains = [f"{level} {name}" for level, name in sorted(host.domains.items()) if level != RACK]
    rack = [f"rack {host.domains[RACK]}"] if RACK in host.domains else []
    remarks = [*domains, *_reserved(host, snapshot)]
    return HostCard(
        host.name,
        gpus,
        status,
        tuple(_nodes(host, marks, snapshot)),
        tuple(usage.host_bars(host)),
        tuple(
            _server(key, marks.get(key, ""), gpus_by_consumer[key], snapshot, key in stuck)
            for key in gpus_by_consumer
        ),
        ", ".join(remarks),
        "; ".join(
            filter(
                None,
                (
                    f"Host {host.name}",
                    gpus,
                    ", ".join(states[1:]),
                    ", ".join([*rack, *remarks]),
                    status,
                ),
            )
        ),
    )


def _reserved(host: CloudHost, snapshot: Snapshot) -> Iterator[str]:
    """Yield the projects that may use a host, unless every project may."""
    if host.reserved_for is None:
        return
    if snapshot.public:
        yield "only for some projects"
        return
    projects = snapshot.owners.projects
    names = sorted(projects.get(key, key) for key in host.reserved_for)
    yield f"only for {', '.join(names)}" if names else "for no project"


def _server(
    consumer: str, mark: str, gpus: int, snapshot: Snapshot, stuck: bool = False
) -> CardServer:
    server = snapshot.view.servers.get(consumer)
    if server is None:
        return CardServer(mark, consumer, "", gpus, stuck=stuck)
    status = formatting.server_status(server)
    return CardServer(
        mark,
        server.name,
        snapshot.owners.project(server),
        gpus,
        "" if status == "ACTIVE" else status,
        server.is_idle,
        stuck,
    )


def _nodes(host: CloudHost, marks: Mapping[str, str], snapshot: Snapshot) -> Iterator[NodeBox]:
    usages = {cell.id: usage.numa_usage(cell) for cell in host.numa}
    members: dict[int | None, list[CloudDevice]] = {node: [] for node in usages}
    for gpu in host.gpus:
        members.setdefault(gpu.numa_node, []).append(gpu)
    for node, gpus in sorted(members.items(), key=lambda item: (item[0] is None, item[0])):
        yield NodeBox(
            "NUMA node not known" if node is None else f"NUMA node {node}",
            tuple(_links(host, gpus, marks, snapshot)),
            () if node is None or node not in usages else tuple(usage.numa_bars(usages[node])),
        )


def _links(
    host: CloudHost, gpus: Iterable[CloudDevice], marks: Mapping[str, str], snapshot: Snapshot
) -> Iterator[LinkedClusters]:
    for linked in _group(gpus, lambda gpu: gpu.link_group[:1]):
        paths = [gpu.link_group for gpu in linked]
        common = itertools.takewhile(lambda names: len(set(names)) == 1, zip(*paths, strict=False))
        clusters = tuple(
            TileCluster(
                ", ".join(_location(members[0])),
                tuple(_tile(host, gpu, marks, snapshot) for gpu in members),
            )
            for members in _group(linked, lambda gpu: (gpu.switch, gpu.link_group))
        )
        yield LinkedClusters(LINK_SEPARATOR.join(names[0] for names in common), clusters)


def _tile(
    host: CloudHost, gpu: CloudDevice, marks: Mapping[str, str], snapshot: Snapshot
) -> GpuTile:
    mark = marks.get(gpu.consumers[0], "") if len(gpu.consumers) == 1 else ""
    total = device_counts.unit_count(gpu)
    if total > 1:
        mark = f"{device_counts.units_by_state(gpu)[DeviceState.FREE]}/{total}"
    state = formatting.display_gpu(snapshot, host, gpu)
    return GpuTile(state, "" if state.is_marked else mark, _title(gpu, state, snapshot))


def _title(gpu: CloudDevice, displayed: DisplayState, snapshot: Snapshot) -> str:
    state = displayed.label
    if gpu.state is DeviceState.IN_USE and gpu.consumers:
        servers = [_server(key, "", 1, snapshot) for key in gpu.consumers]
        names = [
            " ".join(
                filter(
                    None,
                    (s.name, s.status and f"({s.status})", s.project and f"of {s.project}"),
                )
            )
            for s in servers
        ]
        state = f"{state} by {', '.join(names)}"
    texts = [
        f"{gpu.address} {gpu.model}: {state}",
        formatting.free_units(gpu),
        *_location(gpu),
        gpu.note.replace("`", ""),
    ]
    return "; ".join(filter(None, texts))


def _location(gpu: CloudDevice) -> Iterator[str]:
    if gpu.switch:
        yield f"behind switch {gpu.switch}"
    if gpu.link_group:
        yield f"link group {LINK_SEPARATOR.join(gpu.link_group)}"


def _group(
    gpus: Iterable[CloudDevice], key: Callable[[CloudDevice], Hashable]
) -> Iterable[Sequence[CloudDevice]]:
    members: dict[Hashable, list[CloudDevice]] = {}
    for gpu in gpus:
        members.setdefault(key(gpu), []).append(gpu)
    return members.values()
