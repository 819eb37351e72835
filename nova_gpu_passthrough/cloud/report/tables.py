# SPDX-License-Identifier: Apache-2.0
"""The page's numbers and tables."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from nova_gpu_passthrough.cloud.fit.capacity_model import FlavorCapacity, StrandedGpu
from nova_gpu_passthrough.cloud.report import units
from nova_gpu_passthrough.cloud.report.page import words
from nova_gpu_passthrough.cloud.report.page.words import Look
from nova_gpu_passthrough.cloud.report.snapshot import Snapshot
from nova_gpu_passthrough.cloud.view.allocations import devices_wanted
from nova_gpu_passthrough.cloud.view.model import Device, DeviceState, Server
from nova_gpu_passthrough.nova_rules.why_not import Refused
from nova_gpu_passthrough.topology.tags import LINK_SEPARATOR

#: States that somebody has to do something about.
_TROUBLE = (DeviceState.STUCK, DeviceState.MISSING, DeviceState.RESERVED)


@dataclass(frozen=True)
class Figure:
    """One of the numbers on top."""

    number: int
    name: str
    look: Look | None = None
    #: Whether it should be 0.
    bad: bool = False


@dataclass(frozen=True)
class Share:
    """A part of a bar, in percent of its length."""

    look: Look
    start: float
    length: float
    count: int


@dataclass(frozen=True)
class ModelBar:
    """GPUs of one model by what they are to servers."""

    model: str
    total: int
    free: int
    shares: tuple[Share, ...]

    @property
    def text(self) -> str:
        """The bar in words."""
        return ", ".join(f"{share.count} {share.look.word}" for share in self.shares)


def looks(snapshot: Snapshot, model: str | None = None) -> Counter[Look]:
    """How many GPUs, of one model or of all, look how."""
    found: Counter[Look] = Counter()
    for gpu in (gpu for host in snapshot.view.hosts for gpu in host.gpus):
        if model in (None, gpu.model):
            for state, count in units.by_state(gpu).items():
                found[words.look(state)] += count
            found[Look.STRANDED] += snapshot.stranded(gpu)
            found[Look.FREE] -= snapshot.stranded(gpu)
    return found


def figures(snapshot: Snapshot) -> Iterator[Figure]:
    """The numbers on top."""
    found, hosts = looks(snapshot), snapshot.view.hosts
    yield Figure(found.total(), "GPUs")
    yield Figure(found[Look.FREE] + found[Look.STRANDED], "free", look=Look.FREE)
    yield Figure(
        found[Look.STRANDED], "of them stranded", look=Look.STRANDED, bad=bool(found[Look.STRANDED])
    )
    yield Figure(found[Look.IN_USE], "in use", look=Look.IN_USE)
    for look in (Look.RESERVED, Look.STUCK, Look.MISSING):
        yield Figure(found[look], look.word, look=look, bad=bool(found[look]))
    away = sum(bool(words.status(host)) for host in hosts)
    name = "host" if len(hosts) == 1 else "hosts"
    name = f"{name}, {away} down or disabled" if away else name
    yield Figure(len(hosts), name, bad=bool(away))
    holding = {key for host in hosts for gpu in host.gpus for key in gpu.consumers}
    yield Figure(len(holding), "server with GPUs" if len(holding) == 1 else "servers with GPUs")


def model_bars(snapshot: Snapshot) -> Iterator[ModelBar]:
    """A bar for each model, by name."""
    for model in sorted({g.model or "" for host in snapshot.view.hosts for g in host.gpus}):
        found = looks(snapshot, model)
        total, start, shares = found.total(), 0.0, []
        for look in Look:
            if found[look]:
                length = 100 * found[look] / total
                shares.append(Share(look, round(start, 3), round(length, 3), found[look]))
                start += length
        yield ModelBar(model, total, found[Look.FREE] + found[Look.STRANDED], tuple(shares))


def longest(flavors: tuple[FlavorCapacity, ...]) -> int:
    """The most servers of any flavor that fit; at least one."""
    return max([flavor.servers for flavor in flavors], default=0) or 1


def refusals(flavor: FlavorCapacity) -> dict[str, Refused]:
    """What refuses the server after the last that fits, by host that has GPUs of the kind.

    By all hosts, if none has one.
    """
    having = {host: refused for host, refused in flavor.limits.items() if host in flavor.having}
    return having or dict(flavor.limits)


def limit(flavor: FlavorCapacity) -> str:
    """What most hosts meet after the last server that fits, with one of them as an example."""
    same = [
        (host, refused)
        for host, refused in refusals(flavor).items()
        if refused.cause is flavor.limited_by
    ]
    if not same:
        return ""
    host, refused = same[0]
    more = f" (and {words.count(len(same) - 1, 'host')} more)" if len(same) > 1 else ""
    return f"{host}: {refused.detail}{more}"


@dataclass(frozen=True)
class Trouble:
    """Something that somebody has to look at."""

    host: str
    what: str
    state: str
    look: Look | None
    note: str


def troubles(snapshot: Snapshot) -> Iterator[Trouble]:
    """Hosts that take no servers; devices in the wrong state, companions included."""
    for host in words.by_name(snapshot.view.hosts):
        if words.status(host):
            word, _, reason = words.status(host).partition(": ")
            yield Trouble(host.name, "host", word, None, reason)
        for device in host.devices:
            if device.state in _TROUBLE or device.note:
                what = f"{device.address} {device.model or device.resource_class}"
                look = words.look(device.state)
                yield Trouble(host.name, what, look.word, look, device.note)


@dataclass(frozen=True)
class Waiting:
    """A server that asks for devices and is on no host."""

    server: Server
    project: str


def waiting(snapshot: Snapshot) -> Iterator[Waiting]:
    """Servers without a host whose flavors ask for PCI devices."""
    for server in snapshot.view.homeless:
        if devices_wanted(server.extra_specs) != 0:
            yield Waiting(server, snapshot.project(server))


@dataclass(frozen=True)
class GpuRow:
    """One GPU."""

    gpu: Device
    numa_node: str
    link_group: str
    look: Look
    state: str
    servers: str
    projects: str


def gpus(snapshot: Snapshot) -> Iterator[GpuRow]:
    """All GPUs, by host and address."""
    servers = snapshot.servers
    for host in words.by_name(snapshot.view.hosts):
        for gpu in host.gpus:
            look = words.look(gpu.state, snapshot.is_stranded(gpu))
            holders = [servers[key] for key in gpu.consumers if key in servers]
            unknown = [key for key in gpu.consumers if key not in servers]
            yield GpuRow(
                gpu,
                "" if gpu.numa_node is None else str(gpu.numa_node),
                LINK_SEPARATOR.join(gpu.link_group),
                look,
                ", ".join(filter(None, (look.word, words.several(gpu)))),
                ", ".join([*(server.name for server in holders), *unknown]),
                ", ".join(dict.fromkeys(map(snapshot.project, holders))),
            )


@dataclass(frozen=True)
class StrandedRow:
    """A device with GPUs that are stranded for one cause."""

    gpu: StrandedGpu
    #: Its address; of VFs with how many.
    address: str


def stranded(snapshot: Snapshot) -> Iterator[StrandedRow]:
    """Stranded GPUs; VFs of one GPU together."""
    for gpu, count in Counter(snapshot.capacity.stranded).items():
        several = f" ({count} VFs)" if count > 1 else ""
        yield StrandedRow(gpu, f"{gpu.address}{several}")


def notes(snapshot: Snapshot) -> list[str]:
    """What is not sure, each once."""
    capacity = snapshot.capacity
    of_flavors = [note for flavor in capacity.flavors for note in flavor.notes]
    return list(
        dict.fromkeys([*snapshot.view.notes, *capacity.notes, *of_flavors, *snapshot.notes])
    )
