# SPDX-License-Identifier: Apache-2.0
"""Aggregates of the cloud, and what shall come of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from nova_gpu_passthrough.cloud.apply.api import Api
from nova_gpu_passthrough.cloud.apply.change import Document, Kind
from nova_gpu_passthrough.cloud.apply.entry import Key

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
