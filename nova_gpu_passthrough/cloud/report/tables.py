# SPDX-License-Identifier: Apache-2.0
"""The figures, bars and tables of the page."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from nova_gpu_passthrough.cloud.fit.capacity import FlavorCapacity
from nova_gpu_passthrough.cloud.fit.stranded_gpus import StrandedGpu
from nova_gpu_passthrough.cloud.report import formatting
from nova_gpu_passthrough.cloud.report.formatting import DisplayState
from nova_gpu_passthrough.cloud.report.snapshot import Snapshot
from nova_gpu_passthrough.cloud.view import device_counts
from nova_gpu_passthrough.cloud.view.allocations import requested_devices
from nova_gpu_passthrough.cloud.view.model import CloudDevice, DeviceState, Server
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
    total: int
    free: int
    segments: tuple[BarSegment, ...]

    @property
    def text(self) -> str:
        """The bar as text."""
        return ", ".join(
            f"{segment.count} {segment.display_state.label}" for segment in self.segments
        )


def count_display_states(snapshot: Snapshot, model: str | None = None) -> Counter[DisplayState]:
    """Count the GPUs of one model, or of all, by display state."""
    counts: Counter[DisplayState] = Counter()
    for gpu in (gpu for host in snapshot.view.hosts for gpu in host.gpus):
        if model in (None, gpu.model):
            for state, count in device_counts.units_by_state(gpu).items():
                counts[formatting.display_state(state)] += count
            stranded = snapshot.stranded_units(gpu)
            counts[DisplayState.STRANDED] += stranded
            counts[DisplayState.FREE] -= stranded
    return counts


def figures(snapshot: Snapshot) -> Iterator[SummaryFigure]:
    """Yield the numbers of the summary."""
    counts, hosts = count_display_states(snapshot), snapshot.view.hosts
    stranded = counts[DisplayState.STRANDED]
    yield SummaryFigure(counts.total(), "GPUs")
    yield SummaryFigure(counts[DisplayState.FREE] + stranded, "free", DisplayState.FREE)
    yield SummaryFigure(
        stranded, DisplayState.STRANDED.label, DisplayState.STRANDED, bad=bool(stranded)
    )
    yield SummaryFigure(counts[DisplayState.IN_USE], "in use", DisplayState.IN_USE)
    for state in (DisplayState.RESERVED, DisplayState.STUCK, DisplayState.MISSING):
        yield SummaryFigure(counts[state], state.label, state, bad=bool(counts[state]))
    unavailable = sum(bool(formatting.host_status(host)) for host in hosts)
    name = "host" if len(hosts) == 1 else "hosts"
    name = f"{name}, {unavailable} down or disabled" if unavailable else name
    yield SummaryFigure(len(hosts), name, bad=bool(unavailable))
    consumers = {key for host in hosts for gpu in host.gpus for key in gpu.consumers}
    name = "server with GPUs" if len(consumers) == 1 else "servers with GPUs"
    yield SummaryFigure(len(consumers), name)


def model_bars(snapshot: Snapshot) -> Iterator[ModelBar]:
    """Yield a bar for each GPU model, sorted by name."""
    for model in sorted({g.model or "" for host in snapshot.view.hosts for g in host.gpus}):
        counts = count_display_states(snapshot, model)
        total, start, segments = counts.total(), 0.0, []
        for state in DisplayState:
            if counts[state]:
                length = 100 * counts[state] / total
                segments.append(BarSegment(state, round(start, 3), round(length, 3), counts[state]))
                start += length
        free = counts[DisplayState.FREE] + counts[DisplayState.STRANDED]
        yield ModelBar(model, total, free, tuple(segments))


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
class WaitingServer:
    """A server that requests devices and is on no host."""

    server: Server
    project: str


def waiting(snapshot: Snapshot) -> Iterator[WaitingServer]:
    """Yield the servers without a host whose flavors request PCI devices."""
    for server in snapshot.view.servers_without_host:
        if requested_devices(server.extra_specs) != 0:
            yield WaitingServer(server, snapshot.owners.project(server))


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
            displayed = formatting.display_state(gpu.state, snapshot.is_stranded(gpu))
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
class StrandedRow:
    """A device whose free units are stranded by one constraint."""

    gpu: StrandedGpu
    #: The address; for several VFs with their number.
    address: str


def stranded(snapshot: Snapshot) -> Iterator[StrandedRow]:
    """Yield the stranded GPUs; VFs of one GPU are one row."""
    for gpu, count in Counter(snapshot.capacity.stranded).items():
        vfs = f" ({count} VFs)" if count > 1 else ""
        yield StrandedRow(gpu, f"{gpu.address}{vfs}")


def notes(snapshot: Snapshot) -> list[str]:
    """Return everything that is uncertain, without duplicates."""
    capacity = snapshot.capacity
    of_flavors = [note for flavor in capacity.flavors for note in flavor.notes]
    return list(
        dict.fromkeys([*snapshot.view.notes, *capacity.notes, *of_flavors, *snapshot.notes])
    )
