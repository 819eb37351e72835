# SPDX-License-Identifier: Apache-2.0
"""Explain for every host why it takes a server or refuses it, and sum up the answers."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nova_gpu_passthrough.cloud.fit import free_capacity, gpu_flavors, reservations
from nova_gpu_passthrough.cloud.fit.host_explanation import (
    HostAnswer,
    HostExplanation,
    explain_host,
    explain_own_host,
)
from nova_gpu_passthrough.cloud.fit.host_judge import HostJudge, enabled_filters
from nova_gpu_passthrough.cloud.fit.subject import ServerSubject, Subject
from nova_gpu_passthrough.cloud.view.model import CloudHost, CloudView
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet import demand
from nova_gpu_passthrough.fleet.demand import FlavorDemand, FlavorError
from nova_gpu_passthrough.nova_rules.refusal import Stage, format_counts
from nova_gpu_passthrough.policies import base
from nova_gpu_passthrough.policies.base import HostPolicy, Policy

if TYPE_CHECKING:
    from nova_gpu_passthrough.fleet.resolve import ResolvedFleet

#: What refuses hosts before the first filter.
_BEFORE_FILTERS = (Stage.API, Stage.SERVICE, Stage.PLACEMENT)


@dataclass(frozen=True)
class Explanation:
    """The answers of all hosts to one server or flavor."""

    #: One or more sentences.
    summary: tuple[str, ...]
    #: The server's own host, then the hosts that fit, the best first, then the others.
    hosts: tuple[HostExplanation, ...]
    #: What is uncertain, one sentence each.
    notes: tuple[str, ...] = ()


def explain(
    view: CloudView,
    resolved: "ResolvedFleet",
    subject: Subject,
    project_names: Mapping[str, str] | None = None,
) -> Explanation:
    """Explain for every host whether it takes such a server.

    :param project_names: names of projects by id, as far as they are known
    :raises UserError: if Nova refuses the flavor on any host
    """
    try:
        flavor_demand = demand.read(
            subject.size, subject.extra_specs, demand.by_name(resolved.aliases.values())
        )
    except FlavorError as error:
        raise UserError(f"flavor {subject.flavor}: {error}") from None
    policy, notes = _policy(resolved)
    server = subject.server
    judge = HostJudge(
        resolved, view.aggregates, flavor_demand, subject.filtered, subject.refusal, project_names
    )
    hosts = []
    for host in view.hosts:
        free = free_capacity.of_host(host)
        if server is not None and server.host and _has(host, server):
            without = free_capacity.without_server(
                free, host, server.id, flavor_demand.server_demand.query.resources
            )
            hosts.append(explain_own_host(host, without, flavor_demand, server.id, policy))
        else:
            hosts.append(explain_host(host, free, flavor_demand, judge, policy))
    hosts.sort(key=_order)
    return Explanation(
        tuple(_summary(subject, flavor_demand, hosts, view, enabled_filters(resolved))),
        tuple(hosts),
        tuple(
            dict.fromkeys(
                (
                    *_notes(view, resolved, subject, flavor_demand, project_names or {}),
                    *judge.notes,
                    *notes,
                )
            )
        ),
    )


def _policy(resolved: "ResolvedFleet") -> tuple[Policy | None, list[str]]:
    """Return the policy of the fleet's weigher, if it scores hosts independently, and notes."""
    name = resolved.settings.policy
    try:
        policy = base.load(name)
    except base.UnknownPolicyError as error:
        return None, [f"weights are not shown: {error}"]
    if isinstance(policy, HostPolicy):
        return None, [
            f"weights are not shown: policy {name} ranks hosts by all of their free resources"
        ]
    return policy, []


def _has(host: CloudHost, server: ServerSubject) -> bool:
    return any(one.id == server.id for one in host.servers)


def _order(host: HostExplanation) -> tuple[object, ...]:
    answer = list(HostAnswer).index(host.answer)
    stage = list(Stage).index(host.refusal.stage) if host.refusal else 0
    # A host that is refused late in Nova's pipeline nearly fits.
    return answer, -(host.weight or 0.0), -stage, host.host


def _summary(
    subject: Subject,
    flavor_demand: FlavorDemand,
    hosts: Sequence[HostExplanation],
    view: CloudView,
    enabled: Sequence[str],
) -> Iterator[str]:
    request = flavor_demand.server_demand.request
    requested = f"GPU request {request}" if flavor_demand.gpus else "requests no GPUs"
    server = subject.server
    if server is None:
        yield f"Flavor {subject.flavor} ({requested}): {_count_answers(hosts)}"
    elif server.host:
        zone = f", requested availability zone {server.zone}" if server.zone else ""
        yield (
            f"Server {server.name} ({server.id}) of flavor {subject.flavor} ({requested}{zone}) is "
            f"{server.status} on {server.host}{_since(server)}"
        )
        others = [host for host in hosts if host.answer is not HostAnswer.HERE]
        if others:
            yield (
                f"Other hosts, as they are now and not as they were then: {_count_answers(others)}"
            )
    else:
        fault = f": {server.fault}" if server.fault else ""
        yield (
            f"Server {server.name} ({server.id}) of flavor {subject.flavor} ({requested}) is "
            f"{server.status} on no host{fault}{_since(server)}"
        )
        yield (
            f"Hosts, as they are now ({view.taken_at}) and not as they were then: "
            f"{_count_answers(hosts)}"
        )
    if flavor_demand.gpus:
        yield _filter_message(str(request), hosts, enabled)


def _since(server: ServerSubject) -> str:
    return f" (since {server.since})" if server.since else ""


def _count_answers(hosts: Sequence[HostExplanation]) -> str:
    """Describe how many hosts take the server, and why the others refuse it."""
    fitting = sum(host.answer is HostAnswer.FITS for host in hosts)
    reasons = Counter(host.refusal.label for host in hosts if host.refusal)
    text = f"{fitting} of {len(hosts)} hosts take such a server now"
    return f"{text}; refused: {format_counts(reasons)}" if reasons else text


def _filter_message(request: str, hosts: Sequence[HostExplanation], enabled: Sequence[str]) -> str:
    """Return what GpuPassthroughFilter (``scheduler/refusal_log.py``) would log for the server.

    The filter sees only the hosts that Placement returns and that the filters before it pass.

    :param enabled: the filters in order
    """
    reasons: Counter[str] = Counter()
    fitting = 0
    before = enabled[: enabled.index(Stage.GPU_FILTER)]
    others = [host.refusal for host in hosts if host.answer is not HostAnswer.HERE]
    for refusal in others:
        if refusal is None:
            fitting += 1
        elif refusal.reason is not None:
            reasons[refusal.reason.value] += 1
        elif refusal.stage not in (*_BEFORE_FILTERS, *before):
            fitting += 1
    total = fitting + sum(reasons.values())
    if not total:
        if any(refusal and refusal.stage in before for refusal in others):
            return (
                "nova-scheduler would find no host: filters before GpuPassthroughFilter refuse all"
            )
        return "nova-scheduler would find no host: Placement returns none"
    text = f"nova-scheduler would log: GPU request {request}: {fitting} of {total} hosts fit"
    return f"{text}; refused: {format_counts(reasons)}" if reasons else text


def _notes(
    view: CloudView,
    resolved: "ResolvedFleet",
    subject: Subject,
    flavor_demand: FlavorDemand,
    project_names: Mapping[str, str],
) -> Iterator[str]:
    yield from subject.notes
    for note in flavor_demand.notes:
        yield f"flavor {subject.flavor}: {note}"
    if not flavor_demand.gpus:
        yield (
            "hosts without GPUs are not considered, and neither is what GpuPassthroughFilter "
            "reserves for servers with GPUs"
        )
    projects = subject.filtered.projects
    if subject.server is None and (projects is None or len(projects) > 1):
        yield from reservations.notes(view, resolved, project_names)
    for host in view.hosts:
        yield from gpu_flavors.uncertainties(view, host, flavor_demand)
