# SPDX-License-Identifier: Apache-2.0
"""Read Placement's allocation candidates of one host and write better ones.

For k equal devices out of n, Placement returns permutations. All of them contain the same
information: which providers can serve each alias, and what else is allocated to the server. From
these two, a candidate can be written for any choice of devices, whether Placement listed it or not:
a claim is checked against inventory and capacity only.
"""

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any, NamedTuple

from nova_gpu_passthrough.scheduler.pools import Pool
from nova_gpu_passthrough.topology.fit import DeviceChoice
from nova_gpu_passthrough.topology.model import GpuRequest, HostGpus


class MalformedCandidatesError(ValueError):
    """No candidate of the host has the form that Placement sends."""


class FreeDevices(NamedTuple):
    """The free devices of a host, as far as candidates can show them."""

    #: By alias request id.
    providers: Mapping[str, Set[str]]
    #: How many devices a candidate may take of a provider, where this is more than one.
    units: Mapping[str, int]


class HostChoice(NamedTuple):
    """A device choice with the host and the request that it was made for."""

    host: HostGpus
    request: GpuRequest
    choice: DeviceChoice


class AllocationCandidate(dict[str, Any]):
    """An allocation candidate written by this package.

    Nova's scheduler manager and the other filters use it as a plain dict. It keeps the candidates
    that it was made from: in a multi-create, the same host states pass the filters once for every
    server, and the next server chooses again from all devices except those consumed meanwhile.
    """

    __slots__ = ("host_choice", "origin")

    def __init__(
        self, content: Mapping[str, Any], origin: "HostCandidates", host_choice: HostChoice
    ):
        super().__init__(content)
        self.origin = origin
        self.host_choice = host_choice

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        # A copy is a plain dict: the claim copies it and needs no more.
        return dict, (dict(self),)


class _OtherResources(NamedTuple):
    """What a candidate allocates besides the devices of the aliases."""

    allocations: dict[str, Any]
    mappings: dict[str, Any]


class HostCandidates:
    """The information in all allocation candidates of a host."""

    def __init__(self, groups: Mapping[str, Sequence[str]]) -> None:
        #: Names of the request groups by alias request id.
        self.groups = groups
        #: Providers that Placement listed, in order, by alias request id.
        self.providers: dict[str, dict[str, None]] = {alias: {} for alias in groups}
        #: The most devices that one candidate takes of a provider, where this is more than one.
        self.units: dict[str, int] = {}
        #: Amounts that one device of a provider consumes, by resource class.
        self.resources: dict[str, dict[str, int]] = {}
        #: A pool of the devices that Placement listed, by alias request id.
        self.sample_pools: dict[str, Pool | None] = {}
        #: Alternatives of what is allocated besides the devices.
        self.other_resources: list[_OtherResources] = []
        #: False if a provider has both a device of an alias and other resources of the server.
        self.rewritable = True
        #: Numbers of all candidates and of those that are malformed.
        self.total = 0
        self.malformed = 0

    def is_complete(self, free: FreeDevices) -> bool:
        """Check whether all these devices are listed and candidates differ in devices only.

        Other request groups (Neutron ports) and shared providers (storage) allow alternatives of
        what is allocated besides the devices.
        """
        return (
            len(self.other_resources) == 1
            and self.other_resources[0].mappings.keys() <= {""}
            and len(self.other_resources[0].allocations) <= 1
            and all(free.providers[alias] <= self.providers[alias].keys() for alias in self.groups)
            and all(self.units.get(provider, 1) >= most for provider, most in free.units.items())
        )

    @property
    def truncated(self) -> bool:
        """Whether Placement or Nova truncated the list, so that free devices may be missing.

        A complete list has every order of the listed devices. With several aliases, a truncated
        list has all devices of the last alias, but few of the first.
        """
        orders = (math.perm(len(self.providers[a]), len(self.groups[a])) for a in self.groups)
        return self.total - self.malformed < len(self.other_resources) * math.prod(orders)

    def write(self, host_choices: Sequence[HostChoice]) -> list[AllocationCandidate]:
        """Return candidates for these choices in their order, one per alternative of the rest."""
        return [
            self._write(host_choice, other)
            for host_choice in host_choices
            for other in self.other_resources
        ]

    def _write(self, host_choice: HostChoice, other: _OtherResources) -> AllocationCandidate:
        allocations: dict[str, Any] = {
            provider: {**allocation, "resources": dict(allocation["resources"])}
            for provider, allocation in other.allocations.items()
        }
        mappings = {group: list(providers) for group, providers in other.mappings.items()}
        for alias, groups in self.groups.items():
            # A device that Placement did not list consumes what the listed ones consume.
            usual = self.resources[next(iter(self.providers[alias]))] if groups else {}
            for group, device in zip(groups, host_choice.choice.devices[alias], strict=True):
                provider = device.provider
                assert provider is not None  # devices without one are not offered
                mappings[group] = [provider]
                resources = allocations.setdefault(provider, {"resources": {}})["resources"]
                for name, amount in self.resources.get(provider, usual).items():
                    resources[name] = resources.get(name, 0) + amount
        content = {"allocations": allocations, "mappings": mappings}
        return AllocationCandidate(content, self, host_choice)


def read(
    candidates: Sequence[Mapping[str, Any]],
    groups: Mapping[str, Sequence[str]],
    free: FreeDevices | None = None,
) -> HostCandidates:
    """Read the allocation candidates of a host.

    :param groups: names of Placement's request groups by request id of the PCI alias
    :param free: the free devices, if candidates can differ in devices only; reading stops once all
        of them are listed
    :raises MalformedCandidatesError: if ``candidates`` is not a list, or none is well-formed
    """
    if not isinstance(candidates, list):
        raise MalformedCandidatesError(
            f"allocation candidates are {type(candidates).__name__}, expected a list"
        )
    first = candidates[0] if candidates else None
    if isinstance(first, AllocationCandidate):
        return first.origin
    host_candidates = HostCandidates(groups)
    host_candidates.total = len(candidates)
    error: Exception | None = None
    for candidate in candidates:
        try:
            _add_candidate(host_candidates, candidate)
        except (KeyError, TypeError, IndexError, AttributeError, ValueError) as malformed:
            error = malformed
            host_candidates.malformed += 1
        if free is not None and host_candidates.is_complete(free):
            break
    if error is not None and not host_candidates.other_resources:
        raise MalformedCandidatesError(
            f"none of {len(candidates)} allocation candidates has well-formed allocations and "
            f"mappings ({type(error).__name__}: {error})"
        )
    return host_candidates


def listed_providers(candidates: Any, groups: Iterable[str]) -> set[str]:
    """Return the providers that candidates, which may be malformed, list for request groups."""
    names = tuple(groups)
    listed: set[str] = set()
    for candidate in candidates if isinstance(candidates, list) else ():
        mappings = candidate.get("mappings") if isinstance(candidate, dict) else None
        if not isinstance(mappings, dict):
            continue
        for name in names:
            providers = mappings.get(name)
            if isinstance(providers, list):
                listed.update(provider for provider in providers if isinstance(provider, str))
    return listed


def _add_candidate(host_candidates: HostCandidates, candidate: Mapping[str, Any]) -> None:
    allocations, mappings = candidate["allocations"], candidate["mappings"]
    by_alias = [
        [mappings[group][0] for group in groups] for groups in host_candidates.groups.values()
    ]
    listed = [provider for providers in by_alias for provider in providers]
    devices = set(listed)
    resources = {
        provider: {
            name: amount // listed.count(provider)
            for name, amount in allocations[provider]["resources"].items()
        }
        for provider in devices.difference(host_candidates.resources)
    }
    other = _other_resources(host_candidates, allocations, mappings, devices)
    if other not in host_candidates.other_resources:
        host_candidates.other_resources.append(other)
    host_candidates.resources.update(resources)
    if len(devices) < len(listed):
        for provider in devices:
            count = listed.count(provider)
            if count > host_candidates.units.get(provider, 1):
                host_candidates.units[provider] = count
    for known, providers in zip(host_candidates.providers.values(), by_alias, strict=True):
        known.update(dict.fromkeys(providers))


def _other_resources(
    host_candidates: HostCandidates,
    allocations: Mapping[str, Any],
    mappings: Mapping[str, Any],
    devices: set[str],
) -> _OtherResources:
    groups = {group for names in host_candidates.groups.values() for group in names}
    other = _OtherResources(
        {provider: dict(a) for provider, a in allocations.items() if provider not in devices},
        {group: list(names) for group, names in mappings.items() if group not in groups},
    )
    if not all(isinstance(a["resources"], dict) for a in other.allocations.values()):
        raise TypeError("resources is not a mapping")
    if any(provider in devices for names in other.mappings.values() for provider in names):
        host_candidates.rewritable = False
    return other
