# SPDX-License-Identifier: Apache-2.0
"""Combine the candidates of each kind of devices into candidates for the whole query.

Every host that can serve the query gets a few candidates, which together name all its free devices.
GpuPassthroughFilter needs no more: it writes the candidate for the devices that it chooses.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from nova_gpu_passthrough.placement.device_groups import DeviceQuery, EqualGroups

_SHARING = "MISC_SHARES_VIA_AGGREGATE"

_Json = dict[str, Any]


class NotSeparableError(Exception):
    """The devices of a kind cannot be combined with the rest without asking Placement."""


class _Rest(NamedTuple):
    """What a candidate allocates besides its device, as hashable data."""

    root: str
    allocations: tuple[tuple[str, tuple[tuple[str, int], ...]], ...]
    mappings: tuple[tuple[str, tuple[str, ...]], ...]


def combine(
    query: DeviceQuery, answers: Sequence[_Json], rng: random.Random | None = None
) -> _Json:
    """Return Placement's answer to a query for devices.

    :param answers: Placement's answers (microversion 1.34 or later) to the query for each kind
    :param rng: decides which hosts come first; without it the order is Placement's
    :raises NotSeparableError: if a device may serve several groups, is shared by hosts, or is also
        in the rest of a candidate
    """
    summaries: _Json = {}
    by_rest: dict[_Rest, list[list[str]]] = {}
    for number, (kind, answer) in enumerate(zip(query.kinds, answers, strict=True)):
        summaries.update(answer["provider_summaries"])
        for candidate in answer["allocation_requests"]:
            device, rest = _separate(candidate, kind, answer["provider_summaries"])
            devices = by_rest.setdefault(rest, [[] for _ in query.kinds])
            devices[number].append(device)
    hosts = [
        (rest, devices)
        for rest, devices in by_rest.items()
        if all(len(d) >= len(k.suffixes) for d, k in zip(devices, query.kinds, strict=True))
    ]
    if rng:
        rng.shuffle(hosts)
    candidates = list(_candidates(query, hosts))[: query.limit]
    roots = {
        summaries[provider]["root_provider_uuid"]
        for candidate in candidates
        for provider in candidate["allocations"]
    }
    return {
        "allocation_requests": candidates,
        "provider_summaries": {
            provider: summary
            for provider, summary in summaries.items()
            if summary["root_provider_uuid"] in roots
        },
    }


def _separate(candidate: _Json, kind: EqualGroups, summaries: _Json) -> tuple[str, _Rest]:
    """Return the device of a candidate, and the rest."""
    mappings = dict(candidate["mappings"])
    (device,) = mappings.pop(kind.suffixes[0])
    allocations = candidate["allocations"]
    if (
        allocations[device]["resources"] != kind.resources
        or any(device in providers for providers in mappings.values())
        or _SHARING in summaries[device]["traits"]
        or _may_serve_more(summaries[device]["resources"], kind)
    ):
        raise NotSeparableError
    return device, _Rest(
        summaries[device]["root_provider_uuid"],
        tuple(
            sorted(
                (provider, tuple(sorted(allocation["resources"].items())))
                for provider, allocation in allocations.items()
                if provider != device
            )
        ),
        tuple(sorted((suffix, tuple(providers)) for suffix, providers in mappings.items())),
    )


def _may_serve_more(resources: Mapping[str, _Json], kind: EqualGroups) -> bool:
    """Check whether a device, such as a PF with several free VFs, could serve two groups."""
    return all(
        resources[name]["capacity"] - resources[name]["used"] >= 2 * amount
        for name, amount in kind.resources.items()
    )


def _candidates(
    query: DeviceQuery, hosts: Sequence[tuple[_Rest, list[list[str]]]]
) -> Iterator[_Json]:
    """Yield the first candidate of each host, then the second, so that a limit hides few hosts."""
    for _, devices in hosts:
        if len(set().union(*devices)) < sum(map(len, devices)):
            # Two kinds may use the same device.
            raise NotSeparableError
    numbers = [
        max(-(-len(d) // len(k.suffixes)) for d, k in zip(devices, query.kinds, strict=True))
        for _, devices in hosts
    ]
    for number in range(max(numbers, default=0)):
        for (rest, devices), count in zip(hosts, numbers, strict=True):
            if number < count:
                yield _candidate(query, rest, devices, number)


def _candidate(query: DeviceQuery, rest: _Rest, devices: list[list[str]], number: int) -> _Json:
    """Return the candidate with a number: those of a host take its devices in turn."""
    allocations = {
        provider: {"resources": dict(resources)} for provider, resources in rest.allocations
    }
    mappings = {suffix: list(providers) for suffix, providers in rest.mappings}
    for kind, free in zip(query.kinds, devices, strict=True):
        for position, suffix in enumerate(kind.suffixes, number * len(kind.suffixes)):
            device = free[position % len(free)]
            allocations[device] = {"resources": dict(kind.resources)}
            mappings[suffix] = [device]
    return {"allocations": allocations, "mappings": mappings}
