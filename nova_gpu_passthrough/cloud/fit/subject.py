# SPDX-License-Identifier: Apache-2.0
"""Find the server or flavor to explain, by name or id."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from openstack import exceptions

from nova_gpu_passthrough.cloud.fit import filter_facts, gpu_flavors
from nova_gpu_passthrough.cloud.view import servers as server_reader
from nova_gpu_passthrough.cloud.view.model import CloudFlavor, CloudView
from nova_gpu_passthrough.cloud.view.reader import SCHEDULER_HINTS, CloudReader, is_not_found
from nova_gpu_passthrough.errors import UserError, did_you_mean
from nova_gpu_passthrough.fleet.demand import FlavorSize
from nova_gpu_passthrough.nova_rules.filters.model import FilteredServer, ServerGroup
from nova_gpu_passthrough.nova_rules.refusal import Refusal

#: Image properties that mean the same as the extra spec of that name
#: (``_get_flavor_image_meta`` in nova/virt/hardware.py).
_LIKE_FLAVOR = (
    "cpu_policy",
    "cpu_thread_policy",
    "numa_nodes",
    "pci_numa_affinity_policy",
    "maxphysaddr_mode",
)
_SCHEDULED_BY = re.compile(r"hw_(numa_.*|mem_.*|cpu_realtime.*|tpm_.*|viommu.*)|os_secure_boot")


@dataclass(frozen=True)
class Subject:
    """The flavor to explain, or the server and the flavor with which it was created."""

    flavor: str
    size: FlavorSize
    extra_specs: Mapping[str, str]
    #: What nova-scheduler's filters know of it.
    filtered: FilteredServer
    #: Why nova-api refuses a server of the flavor.
    refusal: Refusal | None = None
    #: None for a flavor.
    server: "ServerSubject | None" = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ServerSubject:
    """The server to explain, with its status in Nova."""

    id: str
    name: str
    status: str
    host: str | None = None
    #: The availability zone in which it must stay.
    zone: str | None = None
    fault: str = ""
    #: Time of the fault, or of the start on its host, in ISO 8601.
    since: str = ""


def find(
    reader: CloudReader,
    view: CloudView,
    word: str,
    kind: str | None = None,
    project: str | None = None,
) -> Subject:
    """Find the flavor or server with that name or id, among the servers of all projects.

    :param kind: ``flavor`` or ``server``; None: either of them
    :param project: id of the project of a flavor's servers; None: any
    :raises UserError: if there is none, or more than one
    """
    flavors = [f for f in view.flavors if word in (f.id, f.name)] if kind != "server" else []
    servers = _servers(reader, word) if kind != "flavor" else []
    if flavors and servers:
        raise UserError(f"{word} is both a flavor and a server: add --flavor or --server")
    if len(servers) > 1:
        ids = ", ".join(f"{server['id']} ({server['status']})" for server in servers)
        raise UserError(f"{len(servers)} servers are named {word}; give the id of one: {ids}")
    if servers:
        return of_server(servers[0], _group(reader, servers[0]))
    if flavors:
        # Names of flavors are unique in Nova.
        return of_flavor(flavors[0], project)
    raise UserError(f"no {kind or 'server or flavor'} {word}{_similar(view, word, kind)}")


def of_flavor(flavor: CloudFlavor, project: str | None = None) -> Subject:
    """Convert a flavor of the cloud.

    :param project: id of the project of the flavor's servers; None: any
    """
    return Subject(
        flavor.name,
        gpu_flavors.size(flavor),
        flavor.extra_specs,
        filter_facts.of_flavor(flavor, project),
        gpu_flavors.access_refusal(flavor, project),
    )


def of_server(server: Mapping[str, Any], group: ServerGroup | None = None) -> Subject:
    """Convert the body of ``GET /servers/{id}`` (microversion 2.100 or later).

    :param group: its server group
    """
    flavor, image = server["flavor"], server.get("image")
    extra_specs = dict(flavor.get("extra_specs") or {})
    notes = []
    for name, value in ((image or {}).get("properties") or {}).items():
        extra_spec = name.replace("hw_", "hw:", 1)
        if name.removeprefix("hw_") in _LIKE_FLAVOR:
            extra_specs.setdefault(extra_spec, str(value))
        elif name.startswith("trait:"):
            extra_specs.setdefault(name, str(value))
        elif _SCHEDULED_BY.fullmatch(name):
            notes.append(f"image property {name} is ignored")
    if not image:
        notes.append("the server boots from a volume, so its image properties are not known")
    fault = server.get("fault") or {}
    since = fault.get("created") or server.get("OS-SRV-USG:launched_at") or server.get("created")
    return Subject(
        flavor.get("original_name") or "",
        FlavorSize(
            flavor["vcpus"],
            flavor["ram"],
            # A volume uses no disk of the host.
            flavor["disk"] if image else 0,
            flavor.get("ephemeral") or 0,
            flavor.get("swap") or 0,
        ),
        extra_specs,
        FilteredServer(
            flavor.get("original_name") or "",
            flavor.get("extra_specs") or {},
            frozenset((server["tenant_id"],)),
            server["id"],
            image["id"] if image else None,
            image.get("properties") or {} if image else None,
            server.get("pinned_availability_zone") or None,
            group,
            server.get("scheduler_hints") or {},
        ),
        server=ServerSubject(
            server["id"],
            server.get("name") or server["id"],
            server["status"],
            server.get("OS-EXT-SRV-ATTR:host"),
            server.get("pinned_availability_zone") or None,
            _sentence(fault.get("message") or ""),
            since or "",
        ),
        notes=tuple(notes),
    )


def _servers(reader: CloudReader, word: str) -> list[Mapping[str, Any]]:
    server = _by_id(reader, word)
    if server is not None:
        return [server]
    # Nova treats the name as a regular expression. One page is enough for an error message.
    pattern = f"^{re.escape(word)}$"
    bodies = reader.nova("/servers/detail", all_tenants="1", name=pattern)["servers"]
    # Only the response for a single server has its fault.
    ids = [body["id"] for body in bodies if body.get("name") == word]
    return [server for server in (_by_id(reader, uuid) for uuid in ids) if server is not None]


def _by_id(reader: CloudReader, uuid: str) -> Mapping[str, Any] | None:
    if not re.fullmatch(r"[0-9a-fA-F-]{32,36}", uuid):
        return None
    try:
        server: Mapping[str, Any] = reader.nova(f"/servers/{uuid}", SCHEDULER_HINTS)["server"]
    except exceptions.HttpException as error:
        if is_not_found(error):
            return None
        raise
    return server


def _group(reader: CloudReader, server: Mapping[str, Any]) -> ServerGroup | None:
    """Read the server group of a server, with the hosts of its servers."""
    for uuid in server.get("server_groups") or ():
        body = reader.nova(f"/os-server-groups/{uuid}")["server_group"]
        members = [one for one in map(partial(server_reader.show, reader), body["members"]) if one]
        rules = body.get("rules") or {}
        return ServerGroup(
            body["policy"],
            frozenset(one.id for one in members),
            frozenset(one.host for one in members if one.host),
            int(rules.get("max_server_per_host", 1)),
        )
    return None


def _similar(view: CloudView, word: str, kind: str | None) -> str:
    names: list[str] = []
    if kind != "flavor":
        names += _names(server.name for host in view.hosts for server in host.servers)
        names += _names(server.name for server in view.servers_without_host)
    if kind != "server":
        names += _names(flavor.name for flavor in view.flavors)
    return did_you_mean(word, names, 3)


def _names(names: Iterable[str]) -> list[str]:
    return sorted(set(names))


def _sentence(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
