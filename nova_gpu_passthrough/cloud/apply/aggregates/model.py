# SPDX-License-Identifier: Apache-2.0
"""Aggregates of the cloud, and what shall come of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from openstack import exceptions

from nova_gpu_passthrough.cloud.apply.api import Api, Refused
from nova_gpu_passthrough.cloud.apply.change import Document, Key, Kind
from nova_gpu_passthrough.cloud.view.api import absent

#: Nova keeps the zone of an aggregate among its metadata.
ZONE = "availability_zone"


@dataclass(frozen=True)
class Found:
    """An aggregate of the cloud."""

    id: str
    name: str
    zone: str | None
    hosts: tuple[str, ...]
    #: Without the zone.
    metadata: Mapping[str, str]
    #: What Placement calls it.
    uuid: str = ""
    #: Hosts of which Placement does not know that they are in it.
    unknown: tuple[str, ...] = ()

    @property
    def document(self) -> Document:
        """What people see of it."""
        unknown = {"hosts_unknown_to_placement": [*self.unknown]} if self.unknown else {}
        return {**document(self.zone, self.hosts, self.metadata), **unknown}

    @property
    def keys(self) -> dict[Key, str | None]:
        """What the record may have to say of it, with ids."""
        keys: dict[Key, str | None] = {Key(Kind.AGGREGATE, self.name): self.id}
        keys |= {Key(Kind.AGGREGATE_HOST, self.name, host): None for host in self.hosts}
        named = (*self.metadata, *((ZONE,) if self.zone else ()))
        return keys | {Key(Kind.AGGREGATE_METADATA, self.name, key): None for key in named}


@dataclass(frozen=True)
class Goal:
    """What shall come of an aggregate."""

    name: str
    #: None: the zone that it has, or none.
    zone: str | None = None
    add: frozenset[str] = frozenset()
    remove: frozenset[str] = frozenset()
    #: Hosts that are in it, of which Placement shall know it.
    tell: frozenset[str] = frozenset()
    metadata: Mapping[str, str] = field(default_factory=dict)
    #: Keys of metadata.
    without: frozenset[str] = frozenset()
    delete: bool = False

    def zone_after(self, found: Found | None) -> str | None:
        """The zone that it will have."""
        return self.zone or (found.zone if found else None)

    def hosts_after(self, found: Found | None) -> set[str]:
        """The hosts that it will have."""
        return (set(found.hosts if found else ()) | self.add) - self.remove


@dataclass(frozen=True)
class Target:
    """One step; None or empty: nothing to be done."""

    #: None: it is to be made.
    id: str | None
    zone: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    #: Hosts that are in it, of which Placement shall know it.
    tell: tuple[str, ...] = ()


def document(zone: str | None, hosts: Iterable[str], metadata: Mapping[str, str]) -> Document:
    """What people see of an aggregate."""
    named = {ZONE: zone} if zone else {}
    return {**named, "hosts": [*hosts], "metadata": dict(sorted(metadata.items()))}


def read(api: Api) -> dict[str, Found]:
    """All aggregates of the cloud by name."""
    made = {}
    for one in api.nova("/os-aggregates")["aggregates"]:
        metadata = {key: value for key, value in sorted(one["metadata"].items()) if key != ZONE}
        zone, hosts = one["availability_zone"], tuple(sorted(one["hosts"]))
        names = str(one["id"]), one["name"]
        made[one["name"]] = Found(*names, zone, hosts, metadata, one["uuid"])
    return dict(sorted(made.items()))


#: nova-compute writes providers, too: how often to try again.
_ATTEMPTS = 4


def missing(api: Api, aggregate: str, hosts: Iterable[str]) -> dict[str, str]:
    """Resource providers, by host, that are not in an aggregate though their hosts are.

    :param aggregate: its UUID
    """
    found = api.placement("/resource_providers", member_of=aggregate)["resource_providers"]
    members = {provider[key] for provider in found for key in ("name", "uuid")}
    providers = {host: _provider(api, host) for host in sorted(set(hosts) - members)}
    return {host: one for host, one in providers.items() if one and one not in members}


def add(api: Api, aggregate: str, provider: str) -> None:
    """Put a resource provider into an aggregate.

    :raises Refused: if Placement does not do it
    """
    path = f"/resource_providers/{provider}/aggregates"
    for attempt in range(1, _ATTEMPTS + 1):
        body: dict[str, Any] = api.placement(path)
        if aggregate in body["aggregates"]:
            return
        try:
            new = {**body, "aggregates": [*body["aggregates"], aggregate]}
            api.send("placement", "PUT", path, new)
        except Refused as refused:
            if refused.status != 409 or attempt == _ATTEMPTS:
                raise


def _provider(api: Api, host: str) -> str | None:
    """The resource provider of a host's first node; None if it has not reported one yet."""
    found = api.placement("/resource_providers", name=host)["resource_providers"]
    if found:
        named: str = found[0]["uuid"]
        return named
    # The node may have another name than the host, such as one with a domain. Nova finds part of a
    # name, gives no pages of that, and answers 404 where it finds none.
    try:
        nodes = api.nova("/os-hypervisors/detail", hypervisor_hostname_pattern=host)["hypervisors"]
    except exceptions.HttpException as error:
        if not absent(error):
            raise
        return None
    for node in nodes:
        if node["service"]["host"] == host:
            number: str = node["id"]
            return number
    return None
