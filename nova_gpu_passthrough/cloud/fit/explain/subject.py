# SPDX-License-Identifier: Apache-2.0
"""The server or flavor that is asked about, found by name or id."""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from openstack import exceptions

from nova_gpu_passthrough.cloud.fit import gpu_flavors
from nova_gpu_passthrough.cloud.view.api import Api, absent
from nova_gpu_passthrough.cloud.view.model import CloudFlavor, CloudView
from nova_gpu_passthrough.errors import UserError
from nova_gpu_passthrough.fleet.demand import Size

#: Image properties that mean what the extra spec of the flavor means
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
    """A flavor, or a server and the flavor that it was made with."""

    flavor: str
    size: Size
    extra_specs: Mapping[str, str]
    #: None for a flavor.
    server: "FoundServer | None" = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class FoundServer:
    """A server as Nova tells of it."""

    id: str
    name: str
    status: str
    host: str | None = None
    #: Availability zone that it must stay in.
    zone: str | None = None
    fault: str = ""
    #: ISO 8601; of the fault, or of the start on its host.
    since: str = ""


def find(api: Api, view: CloudView, word: str, kind: str | None = None) -> Subject:
    """The flavor or server of that name or id; servers of all projects.

    :param kind: ``flavor`` or ``server``; None: whichever there is
    :raises UserError: if there is none, or more than one
    """
    flavors = [f for f in view.flavors if word in (f.id, f.name)] if kind != "server" else []
    servers = _servers(api, word) if kind != "flavor" else []
    if flavors and servers:
        raise UserError(f"{word} is both a flavor and a server: say --flavor or --server")
    if len(servers) > 1:
        ids = ", ".join(f"{server['id']} ({server['status']})" for server in servers)
        raise UserError(f"{len(servers)} servers are called {word}; give the id of one: {ids}")
    if servers:
        return of_server(servers[0])
    if flavors:
        # Nova has one flavor of a name.
        return of_flavor(flavors[0])
    raise UserError(f"no {kind or 'server or flavor'} {word}{_near(view, word, kind)}")


def of_flavor(flavor: CloudFlavor) -> Subject:
    """A flavor of the cloud."""
    return Subject(flavor.name, gpu_flavors.size(flavor), flavor.extra_specs)


def of_server(server: Mapping[str, Any]) -> Subject:
    """A server as ``GET /servers/{id}`` shows it from microversion 2.98 on."""
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
            notes.append(f"image property {name} is not looked at")
    if not image:
        notes.append("the server's disk is a volume, and properties of its image are not known")
    fault = server.get("fault") or {}
    since = fault.get("created") or server.get("OS-SRV-USG:launched_at") or server.get("created")
    return Subject(
        flavor.get("original_name") or "",
        Size(
            flavor["vcpus"],
            flavor["ram"],
            # A volume takes no disk of the host.
            flavor["disk"] if image else 0,
            flavor.get("ephemeral") or 0,
            flavor.get("swap") or 0,
        ),
        extra_specs,
        FoundServer(
            server["id"],
            server.get("name") or server["id"],
            server["status"],
            server.get("OS-EXT-SRV-ATTR:host"),
            server.get("pinned_availability_zone") or None,
            _sentence(fault.get("message") or ""),
            since or "",
        ),
        tuple(notes),
    )


def _servers(api: Api, word: str) -> list[Mapping[str, Any]]:
    found = _by_id(api, word)
    if found is not None:
        return [found]
    # Nova takes the name for a regular expression. A page of them is enough to name.
    pattern = f"^{re.escape(word)}$"
    named = api.nova("/servers/detail", all_tenants="1", name=pattern)["servers"]
    # Only the server itself tells its fault.
    ids = [server["id"] for server in named if server.get("name") == word]
    return [server for server in (_by_id(api, key) for key in ids) if server is not None]


def _by_id(api: Api, key: str) -> Mapping[str, Any] | None:
    if not re.fullmatch(r"[0-9a-fA-F-]{32,36}", key):
        return None
    try:
        server: Mapping[str, Any] = api.nova(f"/servers/{key}")["server"]
    except exceptions.HttpException as error:
        if absent(error):
            return None
        raise
    return server


def _near(view: CloudView, word: str, kind: str | None) -> str:
    names: list[str] = []
    if kind != "flavor":
        names += _names(server.name for host in view.hosts for server in host.servers)
        names += _names(server.name for server in view.homeless)
    if kind != "server":
        names += _names(flavor.name for flavor in view.flavors)
    near = difflib.get_close_matches(word, dict.fromkeys(names), 3)
    return f"; near: {', '.join(near)}" if near else ""


def _names(names: Iterable[str]) -> list[str]:
    return sorted(set(names))


def _sentence(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
