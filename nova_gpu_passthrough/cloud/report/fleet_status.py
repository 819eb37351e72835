# SPDX-License-Identifier: Apache-2.0
"""The state of a cloud's GPUs on one screen: by model, what fits, what needs attention, quotas.

``nova-gpu status`` prints it, and the report begins with it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from nova_gpu_passthrough.cloud.fit.capacity import FlavorCapacity
from nova_gpu_passthrough.cloud.quota.model import CloudQuotas, LimitOrigin
from nova_gpu_passthrough.cloud.report import formatting, gpu_counts, tables
from nova_gpu_passthrough.cloud.report.formatting import quantity
from nova_gpu_passthrough.cloud.report.snapshot import Snapshot
from nova_gpu_passthrough.cloud.view import device_counts
from nova_gpu_passthrough.cloud.view.model import CloudHost, DeviceState
from nova_gpu_passthrough.inventory.findings import Finding, Severity

#: Names in one sentence, the others are only counted.
_MOST_NAMES = 4
#: Findings of lint about what the status says itself.
_OWN_FINDINGS = frozenset(
    (
        "host.missing",
        "host.down",
        "host.disabled",
        "device.missing",
        "device.stuck",
        "device.reserved",
        "device.uncleaned",
    )
)


@dataclass(frozen=True)
class ModelStatus:
    """GPUs of one model; ``total`` is the sum of ``in_use``, ``free`` and the last three."""

    model: str
    total: int
    in_use: int
    free: int
    #: Free, and a server of some flavor could have it now.
    usable: int
    #: Reserved in Placement: by an operator, or not yet cleaned.
    held: int
    stuck: int
    missing: int


@dataclass(frozen=True)
class FlavorStatus:
    """How many more servers fit of the flavor with the most GPUs of a model."""

    flavor: str
    model: str
    #: GPUs of one server.
    gpus: int
    servers: int
    hosts: int
    exact: bool
    #: What refuses the next server on most hosts.
    limited_by: str


@dataclass(frozen=True)
class FreeBlock:
    """The most free GPUs of a model on one host that takes servers."""

    model: str
    host: str
    gpus: int


@dataclass(frozen=True)
class Attention:
    """Something that an operator should look at, and the command that says more."""

    text: str
    command: str


@dataclass(frozen=True)
class QuotaStatus:
    """GPUs of one model that a project uses."""

    project: str
    model: str
    used: int
    #: None: no limit, or it is not known.
    limit: int | None
    limit_known: bool = True


@dataclass(frozen=True)
class FleetStatus:
    """The state of a cloud's GPUs at one moment."""

    #: ISO 8601 in UTC.
    taken_at: str
    #: Name of the cloud and its region; may be empty.
    cloud: str
    #: Name of the fleet file; empty without one.
    fleet: str
    #: None where hosts were not readable.
    models: tuple[ModelStatus, ...] | None = None
    #: By model, the flavor with the most GPUs, and if none of its servers fits, the largest of
    #: which one does. None without a fleet file, which says what flavors request.
    flavors: tuple[FlavorStatus, ...] | None = None
    #: By model.
    free_blocks: tuple[FreeBlock, ...] = ()
    attention: tuple[Attention, ...] = ()
    #: Those that use most first; None where quotas were not read.
    quotas: tuple[QuotaStatus, ...] | None = None


def make(
    snapshot: Snapshot,
    quotas: CloudQuotas | None = None,
    findings: Iterable[Finding] = (),
) -> FleetStatus:
    """Summarize what was read of a cloud.

    :param findings: what lint found
    """
    return FleetStatus(
        snapshot.view.taken_at,
        snapshot.cloud,
        snapshot.fleet,
        tuple(
            ModelStatus(
                model,
                counts.total,
                counts.in_use,
                counts.free,
                counts.usable,
                counts.reserved,
                counts.stuck,
                counts.missing,
            )
            for model, counts in gpu_counts.by_model(snapshot).items()
        ),
        tuple(_flavors(snapshot.capacity.flavors)) if snapshot.counted else None,
        tuple(_free_blocks(snapshot)),
        (*_attention(snapshot), *_of_lint(findings)),
        quota_use(quotas) if quotas else None,
    )


def _flavors(flavors: Iterable[FlavorCapacity]) -> Iterator[FlavorStatus]:
    by_model: dict[str, list[FlavorCapacity]] = {}
    for flavor in flavors:
        if flavor.model:
            by_model.setdefault(flavor.model, []).append(flavor)
    for model, members in by_model.items():
        # Of several with as many GPUs, the one that fits best.
        members.sort(key=lambda one: (one.gpus, one.servers), reverse=True)
        shown = members[:1]
        if not shown[0].servers:
            shown += [one for one in members if one.servers][:1]
        for flavor in shown:
            yield FlavorStatus(
                flavor.flavor,
                model,
                flavor.gpus,
                flavor.servers,
                flavor.hosts,
                flavor.exact,
                str(flavor.limited_by or ""),
            )


def _free_blocks(snapshot: Snapshot) -> Iterator[FreeBlock]:
    most: dict[str, FreeBlock] = {}
    for host in formatting.sort_hosts(snapshot.view.hosts):
        for model, counts in gpu_counts.by_model(snapshot, (host,)).items():
            if counts.usable > (most[model].gpus if model in most else 0):
                most[model] = FreeBlock(model, host.name, counts.usable)
    yield from (most[model] for model in sorted(most))


def _attention(snapshot: Snapshot) -> Iterator[Attention]:
    hosts = formatting.sort_hosts(snapshot.view.hosts)
    yield from _of_hosts(hosts)
    for state, sentence in (
        (DeviceState.STUCK, "stuck: allocated to a server that cannot use {them}"),
        (DeviceState.MISSING, "missing in Placement"),
        (DeviceState.RESERVED, "held: reserved in Placement, so that no server gets {them}"),
    ):
        where = _count(
            (host.name, device_counts.units_by_state(gpu)[state])
            for host in hosts
            for gpu in host.gpus
        )
        if where:
            number = where.total()
            text = sentence.format(them="it" if number == 1 else "them")
            yield Attention(
                f"{quantity(number, 'GPU')} {_is(number)} {text} ({_names(where)})",
                f"nova-gpu device list --state {state}",
            )
    stranded = _count(
        (host.name, snapshot.stranded_units(gpu))
        for host in hosts
        if host.takes_servers
        for gpu in host.gpus
    )
    if stranded:
        yield Attention(
            f"{quantity(stranded.total(), 'free GPU')} {_is(stranded.total())} stranded: no server "
            f"of any flavor fits beside the others there ({_names(stranded)})",
            "nova-gpu capacity --stranded",
        )
    waiting = [row.server.name for row in tables.waiting(snapshot)]
    if waiting:
        yield Attention(
            f"{quantity(len(waiting), 'GPU server')} {_is(len(waiting))} on no host "
            f"({_names(waiting)})",
            f"nova-gpu explain {waiting[0]}",
        )


def _of_hosts(hosts: Sequence[CloudHost]) -> Iterator[Attention]:
    groups = {
        "unknown to Nova": [host for host in hosts if not host.known],
        "down": [host for host in hosts if host.known and not host.up],
        "disabled": [host for host in hosts if host.known and host.up and not host.enabled],
        "without resource provider in Placement": [
            host
            for host in hosts
            if host.known and host.up and host.enabled and host.provider is None
        ],
    }
    for state, members in groups.items():
        if members:
            names = [
                f"{host.name}: {host.disabled_reason}" if host.disabled_reason else host.name
                for host in members
            ]
            yield Attention(
                f"{quantity(len(members), 'host')} {_is(len(members))} {state} ({_names(names)})",
                "nova-gpu host list --long",
            )


def _of_lint(findings: Iterable[Finding]) -> Iterator[Attention]:
    others = [finding for finding in findings if finding.id not in _OWN_FINDINGS]
    changes = [finding for finding in others if finding.id.startswith("cloud.")]
    if changes:
        yield Attention(
            f"{quantity(len(changes), 'difference')} between fleet file and cloud "
            f"({_names(sorted({finding.subject for finding in changes}))})",
            "nova-gpu apply --dry-run",
        )
    for severity, noun in ((Severity.FAILURE, "failure"), (Severity.WARNING, "warning")):
        found = [
            finding for finding in others if finding not in changes and finding.severity is severity
        ]
        if found:
            names = sorted({finding.id for finding in found})
            yield Attention(
                f"lint finds {quantity(len(found), noun)} ({_names(names)})", "nova-gpu lint"
            )


def quota_use(quotas: CloudQuotas) -> tuple[QuotaStatus, ...]:
    """Return the GPUs that projects use or may use; of the caller's only project also none."""
    found = [
        QuotaStatus(
            project.name,
            quotas.models[resource],
            quota.used,
            quota.limit,
            quota.origin is not LimitOrigin.UNKNOWN,
        )
        for project in quotas.projects
        for resource, quota in project.quotas.items()
        if not quota.is_default or not quotas.all_projects
    ]
    return tuple(sorted(found, key=lambda one: (-one.used, one.project, one.model)))


def _count(numbers: Iterable[tuple[str, int]]) -> Counter[str]:
    """Add numbers up by name, without those that are 0, in the order of the names."""
    counts: Counter[str] = Counter()
    for name, number in numbers:
        if number:
            counts[name] += number
    return counts


def _names(names: Iterable[str]) -> str:
    members = list(names)
    more = len(members) - _MOST_NAMES
    return ", ".join(members[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _is(number: int) -> str:
    return "is" if number == 1 else "are"
