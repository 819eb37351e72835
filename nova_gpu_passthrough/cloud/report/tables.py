# SPDX-License-Identifier: Apache-2.0
"""The figures, bars and tables of the page."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nova_gpu_passthrough.cloud.fit.capacity import FlavorCapacity
from nova_gpu_passthrough.cloud.fit.stranded_gpus import StrandedGpu
from nova_gpu_passthrough.cloud.report import formatting, gpu_counts
from nova_gpu_passthrough.cloud.report.formatting import DisplayState
from nova_gpu_passthrough.cloud.report.gpu_counts import GpuCounts
from nova_gpu_passthrough.cloud.report.snapshot import Snapshot
from nova_gpu_passthrough.cloud.view.allocations import requested_devices
from nova_gpu_passthrough.cloud.view.model import CloudDevice, CloudHost, DeviceState, Server
from nova_gpu_passthrough.fleet import failure_domains
from nova_gpu_passthrough.nova_rules.refusal import Refusal
from nova_gpu_passthrough.topology.tags import LINK_SEPARATOR

#: States that an operator has to fix.
_PROBLEM_STATES = (DeviceState.STUCK, DeviceState.MISSING, DeviceState.RESERVED)


@dataclass(frozen=True)
class SummaryFigure:
    """One of the numbers in the page's summary."""

    number: int
    name: str
    display_state: DisplayState | None = None
    #: Whether the number should be 0.
    bad: bool = False


@dataclass(frozen=True)
class BarSegment:
    """A part of a bar, in percent of its length."""

    display_state: DisplayState
    start: float
    length: float
    count: int


@dataclass(frozen=True)
class ModelBar:
    """A bar with the GPUs of one model by state."""

    model: str
    counts: GpuCounts
    segments: tuple[BarSegment, ...]

    @property
    def text(self) -> str:
        """The bar as text."""
        return ", ".join(
            f"{segment.count} {segment.display_state.label}" for segment in self.segments
        )

    @property
    def number(self) -> str:
        """How many GPUs are usable."""
        counts = self.counts
        if counts.usable == counts.free:
            return f"{counts.free} of {counts.total} free"
        return f"{counts.usable} of {counts.total} usable ({counts.free} free)"


def count_display_states(counts: GpuCounts) -> dict[DisplayState, int]:
    """Return the numbers of GPUs by display state."""
    return {
        DisplayState.FREE: counts.usable,
        DisplayState.STRANDED: counts.stranded,
        DisplayState.UNAVAILABLE: counts.unavailable,
        DisplayState.IN_USE: counts.in_use,
        DisplayState.RESERVED: counts.reserved,
        DisplayState.STUCK: counts.stuck,
        DisplayState.MISSING: counts.missing,
    }


def figures(snapshot: Snapshot) -> Iterator[SummaryFigure]:
    """Yield the numbers of the summary."""
    hosts = snapshot.view.hosts
    total = gpu_counts.count(snapshot, hosts)
    counts = count_display_states(total)
    yield SummaryFigure(total.total, "GPUs")
    first = "free" if total.usable == total.free else "free and usable"
    yield SummaryFigure(counts.pop(DisplayState.FREE), first, DisplayState.FREE)
    for state, number in counts.items():
        if state is DisplayState.UNAVAILABLE and not number:
            # The usual case; the number of hosts says so, too.
            continue
        bad = bool(number) and state is not DisplayState.IN_USE
        yield SummaryFigure(number, state.label, state, bad)
    unavailable = sum(bool(formatting.host_status(host)) for host in hosts)
    name = "host" if len(hosts) == 1 else "hosts"
    name = f"{name}, {unavailable} out of service" if unavailable else name
    yield SummaryFigure(len(hosts), name, bad=bool(unavailable))
    if snapshot.public:
        return
    consumers = _consumers(hosts)
    name = "server with GPUs" if len(consumers) == 1 else "servers with GPUs"
    yield SummaryFigure(len(consumers), name)


def _consumers(hosts: Iterable[CloudHost]) -> set[str]:
    """Return the servers, and migrations of servers, that have GPUs of hosts by right."""
    gpus = (gpu for host in hosts for gpu in host.gpus)
    return {key for gpu in gpus if gpu.state is not DeviceState.STUCK for key in gpu.consumers}


def model_bars(snapshot: Snapshot) -> Iterator[ModelBar]:
    """Yield a bar for each GPU model, sorted by name."""
    for model, counts in gpu_counts.by_model(snapshot).items():
        start, segments = 0.0, []
        for state, number in count_display_states(counts).items():
            if number:
                length = 100 * number / counts.total
                segments.append(BarSegment(state, round(start, 3), round(length, 3), number))
                start += length
        yield ModelBar(model, counts, tuple(segments))


def most_servers(flavors: tuple[FlavorCapacity, ...]) -> int:
    """Return the largest number of servers that fit of any flavor; at least one."""
    return max([flavor.servers for flavor in flavors], default=0) or 1


def refusals(flavor: FlavorCapacity) -> dict[str, Refusal]:
    """Return what refuses the next server after the last one that fits, by host.

    Only hosts with GPUs for the flavor count; if there is none, all hosts.
    """
    of_gpu_hosts = {
        host: refusal for host, refusal in flavor.limits.items() if host in flavor.hosts_with_gpus
    }
    return of_gpu_hosts or dict(flavor.limits)


def limit(flavor: FlavorCapacity) -> str:
    """Describe the most frequent refusal of the next server, with one host as an example."""
    same = [
        host
        for host, refusal in refusals(flavor).items()
        if refusal.constraint is flavor.limited_by
    ]
    if not same:
        return ""
    more = f" (and {formatting.quantity(len(same) - 1, 'more host')})" if len(same) > 1 else ""
    return f"{same[0]}: {flavor.detail(same[0])}{more}"


@dataclass(frozen=True)
class ProblemRow:
    """A host or device that an operator has to fix."""

    host: str
    what: str
    state: str
    display_state: DisplayState | None
    note: str


def problems(snapshot: Snapshot) -> Iterator[ProblemRow]:
    """Yield hosts that take no servers, and devices in a wrong state, companions included."""
    for host in formatting.sort_hosts(snapshot.view.hosts):
        status = formatting.host_status(host)
        if status:
            state, _, reason = status.partition(": ")
            yield ProblemRow(host.name, "host", state, None, reason)
        for device in host.devices:
            if device.state in _PROBLEM_STATES or device.note:
                what = f"{device.address} {device.model or device.resource_class}"
                displayed = formatting.display_state(device.state)
                yield ProblemRow(host.name, what, displayed.label, displayed, device.note)


@dataclass(frozen=True)
class TimeAgo:
    """A time, and how long ago it is; empty texts if it is not known."""

    time: str
    age: str


@dataclass(frozen=True)
class ServerRow:
    """A server with GPUs, or one that waits for them."""

    server: Server
    #: With its task, if it has one.
    status: str
    project: str
    user: str
    #: GPUs that are allocated to it; VFs of one GPU count as one.
    gpus: int
    #: How long ago it was created, and changed for the last time.
    created: TimeAgo
    updated: TimeAgo


def servers(snapshot: Snapshot) -> Iterator[ServerRow]:
    """Yield the servers that have GPUs, those that do not run first."""
    gpus: Counter[str] = Counter(
        key for host in snapshot.view.hosts for gpu in host.gpus for key in gpu.consumers
    )
    found = [server for server in snapshot.view.device_servers if gpus[server.id]]
    order = formatting.natural_key
    for server in sorted(found, key=lambda each: (not each.is_idle, order(each.name), each.id)):
        yield _server_row(snapshot, server, gpus[server.id])


def waiting(snapshot: Snapshot) -> Iterator[ServerRow]:
    """Yield the servers without a host whose flavors request PCI devices."""
    for server in snapshot.view.servers_without_host:
        if requested_devices(server.extra_specs) != 0:
            yield _server_row(snapshot, server, 0)


def _server_row(snapshot: Snapshot, server: Server, gpus: int) -> ServerRow:
    owners, now = snapshot.owners, snapshot.view.taken_at
    created, updated = (
        TimeAgo(time, formatting.age(time, now) if time else "")
        for time in (server.created, server.updated)
    )
    return ServerRow(
        server,
        formatting.server_status(server),
        owners.project(server),
        owners.user(server),
        gpus,
        created,
        updated,
    )


@dataclass(frozen=True)
class GpuRow:
    """A GPU, with the servers to which it is allocated."""

    gpu: CloudDevice
    numa_node: str
    link_group: str
    display_state: DisplayState
    state: str
    servers: str
    projects: str


def gpus(snapshot: Snapshot) -> Iterator[GpuRow]:
    """Yield all GPUs, sorted by host and address."""
    servers = snapshot.view.servers
    for host in formatting.sort_hosts(snapshot.view.hosts):
        for gpu in host.gpus:
            displayed = formatting.display_gpu(snapshot, host, gpu)
            consumers = [servers[key] for key in gpu.consumers if key in servers]
            unknown = [key for key in gpu.consumers if key not in servers]
            yield GpuRow(
                gpu,
                "" if gpu.numa_node is None else str(gpu.numa_node),
                LINK_SEPARATOR.join(gpu.link_group),
                displayed,
                ", ".join(filter(None, (displayed.label, formatting.free_units(gpu)))),
                ", ".join([*(server.name for server in consumers), *unknown]),
                ", ".join(dict.fromkeys(map(snapshot.owners.project, consumers))),
            )


@dataclass(frozen=True)
class DomainRow:
    """A failure domain: what is lost if it fails, and what of it is free."""

    level: str
    name: str
    hosts: int
    #: Hosts that take no servers.
    out_of_service: int
    servers: int
    counts: GpuCounts


def domains(snapshot: Snapshot) -> Iterator[DomainRow]:
    """Yield the failure domains that the fleet file names, racks first."""
    hosts = snapshot.view.hosts
    for level in failure_domains.levels(host.domains for host in hosts):
        members: dict[str, list[CloudHost]] = {}
        for host in hosts:
            if level in host.domains:
                members.setdefault(host.domains[level], []).append(host)
        for name in sorted(members, key=formatting.natural_key):
            yield DomainRow(
                level,
                name,
                len(members[name]),
                sum(bool(formatting.host_status(host)) for host in members[name]),
                len(_consumers(members[name])),
                gpu_counts.count(snapshot, members[name]),
            )


@dataclass(frozen=True)
class StrandedRow:
    """A device whose free units are stranded by one constraint."""

    gpu: StrandedGpu
    #: The address; for several VFs with their number.
    address: str


def stranded(snapshot: Snapshot) -> Iterator[StrandedRow]:
    """Yield the stranded GPUs of hosts that take servers; VFs of one GPU are one row."""
    closed = {host.name for host in snapshot.view.hosts if not host.takes_servers}
    for gpu, count in Counter(snapshot.capacity.stranded).items():
        if gpu.host in closed:
            continue
        vfs = f" ({count} VFs)" if count > 1 else ""
        yield StrandedRow(gpu, f"{gpu.address}{vfs}")


def notes(snapshot: Snapshot) -> list[str]:
    """Return everything that is uncertain, without duplicates."""
    capacity = snapshot.capacity
    of_flavors = [note for flavor in capacity.flavors for note in flavor.notes]
    return list(
        dict.fromkeys([*snapshot.view.notes, *capacity.notes, *of_flavors, *snapshot.notes])
    )
