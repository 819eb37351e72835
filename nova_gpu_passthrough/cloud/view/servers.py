# SPDX-License-Identifier: Apache-2.0
"""Read servers, with the NUMA topology of their guests."""

import dataclasses
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from openstack import exceptions

from nova_gpu_passthrough.cloud.view.model import CellUse, Server
from nova_gpu_passthrough.cloud.view.reader import CloudReader, Restricted, is_not_found

_HOST = "OS-EXT-SRV-ATTR:host"
#: Status of a server in a Nova cell that cannot be reached.
_UNKNOWN = "UNKNOWN"
#: Prefixes of the extra specs that can give a guest a NUMA topology
#: (``numa_get_constraints`` in nova/virt/hardware.py); image properties use an underscore.
_NUMA = ("hw:numa_", "hw:cpu_", "hw:mem_", "hw:pmem", "hw:emulator_")


def on_host(reader: CloudReader, host: str) -> tuple[Server, ...]:
    """Read all servers of a host, of all projects, without their NUMA cells."""
    bodies = list(reader.pages("/servers/detail", "servers", all_tenants="1", host=host))
    if any(_HOST not in body and body["status"] != _UNKNOWN for body in bodies):
        # A policy hides the host, and Nova may have ignored the filter.
        reader.restricted[Restricted.SERVERS] = None
        return ()
    return tuple(_server(body) for body in bodies if body.get(_HOST, host) == host)


def without_host(reader: CloudReader) -> tuple[Server, ...]:
    """Read the servers that are on no host: in error, or still being scheduled."""
    return tuple(
        _server(body)
        for status in ("ERROR", "BUILD")
        for body in reader.pages("/servers/detail", "servers", all_tenants="1", status=status)
        if body.get(_HOST) is None
    )


def show(reader: CloudReader, uuid: str) -> Server | None:
    """Read one server; None if it does not exist."""
    if not reader.is_admin:
        # Nova hides single servers of other projects: see `CloudReader.is_hidden`.
        bodies = reader.nova("/servers/detail", all_tenants="1", uuid=uuid)["servers"]
        return next((_server(body) for body in bodies if body["id"] == uuid), None)
    try:
        return _server(reader.nova(f"/servers/{uuid}")["server"])
    except exceptions.HttpException as error:
        if is_not_found(error):
            return None
        raise


def with_cells(reader: CloudReader, servers: Iterable[Server]) -> tuple[Server, ...]:
    """Return the servers with the NUMA cells of those guests that can have any."""
    return tuple(
        reader.each(
            "guests' NUMA nodes",
            servers,
            lambda server: _with_cells(reader, server) if may_have_cells(server) else server,
        )
    )


def may_have_cells(server: Server) -> bool:
    """Check whether flavor or image can give the guest a NUMA topology.

    For a server that boots from a volume Nova does not report the image properties.
    """
    if server.image_properties is None:
        return True
    keys = [*server.extra_specs, *(k.replace("hw_", "hw:", 1) for k in server.image_properties)]
    return any(
        key.startswith(_NUMA) or (key.startswith("resources") and key.endswith(":PCPU"))
        for key in keys
    )


def _with_cells(reader: CloudReader, server: Server) -> Server:
    try:
        topology = reader.nova(f"/servers/{server.id}/topology")
    except exceptions.HttpException as error:
        if is_not_found(error):
            if not reader.is_hidden(server.project_id):
                # The server was deleted after the list was read.
                return server
        elif error.status_code != HTTPStatus.FORBIDDEN:
            raise
        reader.restricted[Restricted.TOPOLOGIES] = None
        return dataclasses.replace(server, cells_known=False)
    if any("host_node" not in node for node in topology["nodes"]):
        reader.restricted[Restricted.TOPOLOGIES] = None
        return dataclasses.replace(server, cells_known=False)
    page_size = topology.get("pagesize_kb")
    cells = tuple(
        CellUse(
            node["host_node"],
            node["memory_mb"],
            len(node["vcpu_set"]),
            frozenset((node.get("cpu_pinning") or {}).values()),
            page_size,
        )
        for node in topology["nodes"]
        # The cells of a server without a host are on no host node.
        if node.get("host_node") is not None
    )
    return dataclasses.replace(server, cells=cells)


def _server(server: Mapping[str, Any]) -> Server:
    # For a server in an unreachable Nova cell, Nova returns only id, project and status UNKNOWN.
    flavor, image = server.get("flavor") or {}, server.get("image")
    return Server(
        server["id"],
        server.get("name") or server["id"],
        server["status"],
        server["tenant_id"],
        server.get(_HOST),
        flavor.get("original_name") or "",
        flavor.get("vcpus") or 0,
        flavor.get("ram") or 0,
        dict(flavor.get("extra_specs") or {}),
        task_state=server.get("OS-EXT-STS:task_state"),
        image_properties=dict(image.get("properties") or {}) if image else None,
        user_id=server.get("user_id") or "",
        created=server.get("created") or "",
        updated=server.get("updated") or "",
        fault=(server.get("fault") or {}).get("message") or "",
    )
