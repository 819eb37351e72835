# SPDX-License-Identifier: Apache-2.0
"""Placement's allocation candidates of one host, taken apart and put together again.

For k like devices out of n Placement returns permutations. All of them say the same: which
providers can serve each alias (their union), and what else the server is allocated. From the two
any choice of devices can be written as a candidate, whether Placement listed it or not: a claim
is checked against inventory and capacity only.
"""

import math
from collections.abc import Mapping, Sequence, Set
from typing import Any, NamedTuple

from nova_gpu_passthrough.scheduler.pools import Pool
from nova_gpu_passthrough.topology.fit import DeviceChoice
from nova_gpu_passthrough.topology.model import GpuRequest, HostGpus


class MalformedCandidatesError(ValueError):
    """No candidate of the host is what Placement would send."""


class Fitted(NamedTuple):
    """A choice, and what it was chosen from and for."""

    host: HostGpus
    request: GpuRequest
    choice: DeviceChoice


class Candidate(dict[str, Any]):
    """An allocation candidate that this package wrote.

    The manager and other filters take it for the dict that it is. It remembers the candidates
    that it was made from: in a multi-create the same host states pass the filters once for every
    server, and the next server chooses from all devices again, less those consumed meanwhile.
    """

    __slots__ = ("fitted", "origin")

    def __init__(self, content: Mapping[str, Any], origin: "HostCandidates", fitted: Fitted):
        super().__init__(content)
        self.origin = origin
        self.fitted = fitted

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        # A copy is a plain candidate: the claim copies it, and needs no more.
        return dict, (dict(self),)


class _Rest(NamedTuple):
    """What a candidate allocates besides the aliases' devices."""

    allocations: dict[str, Any]
    mappings: dict[str, Any]


class HostCandidates:
    """The union of a host's candidates."""

    def __init__(self, groups: Mapping[str, Sequence[str]]) -> None:
        #: Names of the request groups by alias request id.
        self.groups = groups
        #: Providers that Placement named, by alias request id.
        self.providers: dict[str, dict[str, None]] = {alias: {} for alias in groups}
        #: What one device of a provider takes from it, by resource class.
        self.resources: dict[str, dict[str, int]] = {}
        #: A pool of the devices that Placement named, by alias request id.
        self.kinds: dict[str, Pool | None] = {}
        self.rests: list[_Rest] = []
        #: False if a provider serves an alias and the rest, too: then nothing is rewritten.
        self.separable = True
        #: How many candidates there were, and how many were not what Placement would send.
        self.total = 0
        self.malformed = 0

    def names(self, free: Mapping[str, Set[str]]) -> bool:
        """Whether all these providers were named, and nothing but devices can differ.

        Other request groups (Neutron ports) and shared providers (storage) make for more than one
        kind of rest.
        """
        return (
            len(self.rests) == 1
            and self.rests[0].mappings.keys() <= {""}
            and len(self.rests[0].allocations) <= 1
            and all(free[alias] <= self.providers[alias].keys() for alias in self.groups)
        )

    @property
    def truncated(self) -> bool:
        """Whether Placement or Nova cut the list, so that free devices may be missing.

        A whole list has every order of the named devices. With several aliases a cut one has all
        devices of the last alias, but few of the first.
        """
        orders = (math.perm(len(self.providers[a]), len(self.groups[a])) for a in self.groups)
        return self.total - self.malformed < len(self.rests) * math.prod(orders)

    def write(self, fitted: Sequence[Fitted]) -> list[Candidate]:
        """Candidates for these choices, in their order, one for every kind of rest."""
        return [self._write(item, rest) for item in fitted for rest in self.rests]

    def _write(self, fitted: Fitted, rest: _Rest) -> Candidate:
        allocations: dict[str, Any] = {
            provider: {**allocation, "resources": dict(allocation["resources"])}
            for provider, allocation in rest.allocations.items()
        }
        mappings = {group: list(providers) for group, providers in rest.mappings.items()}
        for alias, groups in self.groups.items():
            # A device that Placement did not name takes what its likes take.
            usual = self.resources[next(iter(self.providers[alias]))] if groups else {}
            for group, device in zip(groups, fitted.choice.devices[alias], strict=True):
                provider = device.provider
                assert provider is not None  # devices without one are not offered
                mappings[group] = [provider]
                taken = allocations.setdefault(provider, {"resources": {}})["resources"]
                for name, amount in self.resources.get(provider, usual).items():
                    taken[name] = taken.get(name, 0) + amount
        return Candidate({"allocations": allocations, "mappings": mappings}, self, fitted)


def read(
    candidates: Sequence[Mapping[str, Any]],
    groups: Mapping[str, Sequence[str]],
    free: Mapping[str, Set[str]] | None = None,
) -> HostCandidates:
    """Take the candidates of a host apart.

    :param groups: names of Placement's request groups by request id of the PCI alias
    :param free: providers of the free devices by alias; given where candidates differ in nothing
        but devices, so that no more need to be read once all of these were named
    :raises MalformedCandidatesError: if they are no list, or are some and none is well-formed
    """
    if not isinstance(candidates, list):
        raise MalformedCandidatesError(
            f"allocation candidates are {type(candidates).__name__}, expected a list"
        )
    first = candidates[0] if candidates else None
    if isinstance(first, Candidate):
        return first.origin
    union = HostCandidates(groups)
    union.total = len(candidates)
    error: Exception | None = None
    for candidate in candidates:
        try:
            _add(union, candidate)
        except (KeyError, TypeError, IndexError, AttributeError, ValueError) as malformed:
            error = malformed
            union.malformed += 1
        if free is not None and union.names(free):
            break
    if error is not None and not union.rests:
        raise MalformedCandidatesError(
            f"none of {len(candidates)} allocation candidates has well-formed allocations and "
            f"mappings ({type(error).__name__}: {error})"
        )
    return union


def _add(union: HostCandidates, candidate: Mapping[str, Any]) -> None:
    allocations, mappings = candidate["allocations"], candidate["mappings"]
    served = [[mappings[group][0] for group in groups] for groups in union.groups.values()]
    listed = [provider for providers in served for provider in providers]
    devices = set(listed)
    resources = {
        provider: {
            name: amount // listed.count(provider)
            for name, amount in allocations[provider]["resources"].items()
        }
        for provider in devices.difference(union.resources)
    }
    rest = _rest(union, allocations, mappings, devices)
    if rest not in union.rests:
        union.rests.append(rest)
    union.resources.update(resources)
    for known, providers in zip(union.providers.values(), served, strict=True):
        known.update(dict.fromkeys(providers))


def _rest(
    union: HostCandidates,
    allocations: Mapping[str, Any],
    mappings: Mapping[str, Any],
    devices: set[str],
) -> _Rest:
    groups = {group for names in union.groups.values() for group in names}
    rest = _Rest(
        {provider: dict(a) for provider, a in allocations.items() if provider not in devices},
        {group: list(names) for group, names in mappings.items() if group not in groups},
    )
    if not all(isinstance(a["resources"], dict) for a in rest.allocations.values()):
        raise TypeError("resources is no mapping")
    if any(provider in devices for names in rest.mappings.values() for provider in names):
        union.separable = False
    return rest
