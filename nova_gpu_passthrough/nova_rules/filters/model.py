# SPDX-License-Identifier: Apache-2.0
"""What nova-scheduler's filters know of a host and of a server, as far as Nova's API shows it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class NotJudgedError(Exception):
    """A filter decides by something that is not known here; the message says by what."""


@dataclass(frozen=True)
class ServerGroup:
    """The server group of a server."""

    #: ``affinity``, ``anti-affinity``, ``soft-affinity`` or ``soft-anti-affinity``.
    policy: str
    #: Ids of its servers.
    members: frozenset[str] = frozenset()
    #: Names of the hosts that its servers are on.
    hosts: frozenset[str] = frozenset()
    #: ``max_server_per_host`` of the policy anti-affinity.
    max_servers_per_host: int = 1


@dataclass(frozen=True)
class FilteredServer:
    """What the filters know of a server."""

    #: Name of its flavor.
    flavor: str
    extra_specs: Mapping[str, str] = field(default_factory=dict)
    #: Ids of the projects that may own the server; None: any project.
    projects: frozenset[str] | None = None
    #: None for a server that does not exist yet.
    id: str | None = None
    #: None for a server that boots from a volume, or from an image that is not given.
    image_id: str | None = None
    #: None for a server that boots from a volume: Nova does not report them.
    image_properties: Mapping[str, Any] | None = field(default_factory=dict)
    #: The availability zone in which it must stay.
    zone: str | None = None
    group: ServerGroup | None = None
    hints: Mapping[str, Any] = field(default_factory=dict)

    def hint(self, name: str, default: Any = None) -> Any:
        """Return a scheduler hint; the only value of a list with one (``get_scheduler_hint``)."""
        value = self.hints.get(name, default)
        return value[0] if isinstance(value, list) and len(value) == 1 else value

    @property
    def properties(self) -> Mapping[str, Any]:
        """Return the image properties.

        :raises NotJudgedError: if they are not known
        """
        if self.image_properties is None:
            raise NotJudgedError("properties of the image of a server that boots from a volume")
        return self.image_properties


@dataclass(frozen=True)
class FilteredHost:
    """What the filters know of a host (``HostState`` in nova/scheduler/host_manager.py)."""

    #: Name of the compute service.
    name: str
    #: Metadata by name of the aggregate.
    aggregates: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    #: Ids of its servers.
    servers: frozenset[str] = frozenset()
    #: Servers that are being built, resized, rescued and so on.
    io_operations: int = 0
    #: Attributes of ``HostState`` that the API shows, such as ``hypervisor_type``; the text of
    #: ``cpu_info`` is JSON.
    attributes: Mapping[str, Any] = field(default_factory=dict)
    #: Triples of architecture, hypervisor type and VM mode; None: not known.
    supported_instances: tuple[tuple[str, str, str], ...] | None = None

    @property
    def metadata(self) -> Mapping[str, frozenset[str]]:
        """Return the values of all aggregates by key, split at commas.

        Restates ``aggregate_metadata_get_by_host`` in nova/scheduler/filters/utils.py.
        """
        values: dict[str, frozenset[str]] = {}
        for metadata in self.aggregates.values():
            for key, text in metadata.items():
                parts = {part.strip() for part in text.split(",")}
                values[key] = values.get(key, frozenset()) | parts
        return values

    def aggregates_with(self, prefix: str) -> str:
        """Return the names of the aggregates that have a key with this prefix, for messages."""
        names = sorted(
            name
            for name, metadata in self.aggregates.items()
            if any(key.startswith(prefix) for key in metadata)
        )
        return (
            f"aggregate {', '.join(names)}" if len(names) == 1 else f"aggregates {', '.join(names)}"
        )
