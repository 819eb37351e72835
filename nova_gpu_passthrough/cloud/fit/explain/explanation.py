# SPDX-License-Identifier: Apache-2.0
"""The answers of all hosts, and what they come to."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from nova_gpu_passthrough.cloud.fit import gpu_flavors, host_capacity
from nova_gpu_passthrough.cloud.fit.explain import hosts
from nova_gpu_passthrough.cloud.fit.explain.model import Answer, Explanation, HostAnswer
from nova_gpu_passthrough.cloud.fit.explain.subject import FoundServer, Subject
from nova_gpu_passthrough.cloud.view.model import CloudView, Host
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet import demand
from nova_gpu_passthrough.fleet.demand import Asked, FlavorError
from nova_gpu_passthrough.nova_rules.why_not import Stage, counted
from nova_gpu_passthrough.policies import base
from nova_gpu_passthrough.policies.base import HostPolicy, Policy

if TYPE_CHECKING:
    from nova_gpu_passthrough.fleet.resolve import Resolved

#: Who is asked after GpuPassthroughFilter, and so only if that lets the host through.
_AFTER_GPU_FILTER = (Stage.NUMA_FILTER, Stage.CLAIM)


def explain(view: CloudView, resolved: "Resolved", subject: Subject) -> Explanation:
    """What every host answers to a server like this.

    :raises UserError: if Nova refuses the flavor, whatever hosts there are
    """
    try:
        asked = demand.read(
            subject.size, subject.extra_specs, demand.by_name(resolved.aliases.values())
        )
    except FlavorError as error:
        raise UserError(f"flavor {subject.flavor}: {error}") from None
    policy, notes = _policy(resolved)
    server = subject.server
    answers = []
    for host in view.hosts:
        left = host_capacity.room(host)
        if server is not None and server.host and _has(host, server):
            before = host_capacity.without_server(
                left, host, server.id, asked.needs.query.resources
            )
            answers.append(hosts.here(host, before, asked, server.id, policy))
        else:
            zone = server.zone if server else None
            answers.append(hosts.answer(host, left, asked, policy, zone))
    answers.sort(key=_order)
    return Explanation(
        tuple(_summary(subject, asked, answers, view)),
        tuple(answers),
        tuple(dict.fromkeys((*_notes(view, subject, asked), *notes))),
    )


def _policy(resolved: "Resolved") -> tuple[Policy | None, list[str]]:
    """The policy of the fleet's weigher, if its score can be told here."""
    name = resolved.settings.policy
    try:
        policy = base.load(name)
    except base.UnknownPolicyError as error:
        return None, [f"weights are not told: {error}"]
    if isinstance(policy, HostPolicy):
        return None, [f"weights are not told: policy {name} ranks hosts by all that they have left"]
    return policy, []


def _has(host: Host, server: FoundServer) -> bool:
    return any(one.id == server.id for one in host.servers)


def _order(answer: HostAnswer) -> tuple[object, ...]:
    place = list(Answer).index(answer.answer)
    stage = list(Stage).index(answer.refused.stage) if answer.refused else 0
    # Who comes far in Nova's pipeline is near to what was asked for.
    return place, -(answer.weight or 0.0), -stage, answer.host


def _summary(
    subject: Subject, asked: Asked, answers: Sequence[HostAnswer], view: CloudView
) -> Iterator[str]:
    request = asked.needs.request
    wanted = f"GPU request {request}" if asked.gpus else "it asks for no GPUs"
    server = subject.server
    if server is None:
        yield f"Flavor {subject.flavor} ({wanted}): {_now(answers)}"
    elif server.host:
        zone = f", availability zone {server.zone} asked for" if server.zone else ""
        yield (
            f"Server {server.name} ({server.id}) of flavor {subject.flavor} ({wanted}{zone}) is "
            f"{server.status} on {server.host}{_at(server)}"
        )
        others = [answer for answer in answers if answer.answer is not Answer.HERE]
        if others:
            yield f"Other hosts, as they are now and not as they were then: {_now(others)}"
    else:
        fault = f": {server.fault}" if server.fault else ""
        yield (
            f"Server {server.name} ({server.id}) of flavor {subject.flavor} ({wanted}) is "
            f"{server.status} on no host{fault}{_at(server)}"
        )
        yield f"Hosts, as they are now ({view.taken_at}) and not as they were then: {_now(answers)}"
    if asked.gpus:
        yield _as_the_filter_says(str(request), answers)


def _at(server: FoundServer) -> str:
    return f" (since {server.since})" if server.since else ""


def _now(answers: Sequence[HostAnswer]) -> str:
    """How many take the server."""
    fitting = sum(answer.answer is Answer.FITS for answer in answers)
    reasons = Counter(answer.constraint for answer in answers if answer.refused)
    text = f"{fitting} of {len(answers)} hosts take such a server now"
    return f"{text}; refused: {counted(reasons)}" if reasons else text


def _as_the_filter_says(request: str, answers: Sequence[HostAnswer]) -> str:
    """The sentence of GpuPassthroughFilter (``scheduler/tally.py``) for one more server.

    It sees the hosts that Placement names.
    """
    reasons: Counter[str] = Counter()
    fitting = 0
    for answer in answers:
        if answer.answer is Answer.HERE:
            continue
        refused = answer.refused
        if refused is None or refused.stage in _AFTER_GPU_FILTER:
            fitting += 1
        elif refused.reason is not None:
            reasons[refused.reason.value] += 1
    total = fitting + sum(reasons.values())
    if not total:
        return "nova-scheduler would find no host: Placement names none"
    text = f"nova-scheduler would log: GPU request {request}: {fitting} of {total} hosts fit"
    return f"{text}; refused: {counted(reasons)}" if reasons else text


def _notes(view: CloudView, subject: Subject, asked: Asked) -> Iterator[str]:
    yield from subject.notes
    for note in asked.notes:
        yield f"flavor {subject.flavor}: {note}"
    if not asked.gpus:
        yield (
            "hosts without GPUs are not looked at, nor what GpuPassthroughFilter keeps for servers "
            "with GPUs"
        )
    for host in view.hosts:
        yield from gpu_flavors.doubts(view, host, asked)
