# SPDX-License-Identifier: Apache-2.0
"""Servers, with what their guests take of NUMA nodes."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from openstack import exceptions

from nova_gpu_passthrough.cloud.view.api import Api, absent
from nova_gpu_passthrough.cloud.view.model import CellUse, Server

#: What begins a name of an extra spec that can give a guest a NUMA topology
#: (``numa_get_constraints`` in nova/virt/hardware.py); in image properties with underscores.
_NUMA = ("hw:numa_", "hw:cpu_", "hw:mem_", "hw:pmem", "hw:emulator_")


def on_host(api: Api, host: str) -> tuple[Server, ...]:
    """All servers of a host, of all projects, without their cells."""
    found = api.pages("/servers/detail", "servers", all_tenants="1", host=host)
    return tuple(_server(server) for server in found)


def homeless(api: Api) -> tuple[Server, ...]:
    """Servers that are on no host: in error, or about to be made."""
    return tuple(
        _server(server)
        for status in ("ERROR", "BUILD")
        for server in api.pages("/servers/detail", "servers", all_tenants="1", status=status)
        if server.get("OS-EXT-SRV-ATTR:host") is None
    )


def show(api: Api, key: str) -> Server | None:
    """One server, wherever it is; None if there is none with that id."""
    try:
        return _server(api.nova(f"/servers/{key}")["server"])
    except exceptions.HttpException as error:
        if absent(error):
            return None
        raise


def with_cells(api: Api, servers: Iterable[Server]) -> tuple[Server, ...]:
    """The servers with the cells of their guests, where these can have any."""
    return tuple(
        api.each(
            "guests' NUMA nodes",
            servers,
            lambda server: _with_cells(api, server) if may_have_cells(server) else server,
        )
    )


def may_have_cells(server: Server) -> bool:
    """Whether flavor or image can give the guest a NUMA topology.

    What an image says that a server's volume was made of, Nova does not tell.
    """
    if server.image_properties is None:
        return True
    keys = [*server.extra_specs, *(k.replace("hw_", "hw:", 1) for k in server.image_properties)]
    return any(
        key.startswith(_NUMA) or (key.startswith("resources") and key.endswith(":PCPU"))
        for key in keys
    )


def _with_cells(api: Api, server: Server) -> Server:
    try:
        topology = api.nova(f"/servers/{server.id}/topology")
    except exceptions.HttpException as error:
        if absent(error):
            # Deleted since the list was made.
            return server
        raise
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
        # Without a host, cells are on none.
        if node.get("host_node") is not None
    )
    return dataclasses.replace(server, cells=cells)


def _server(server: Mapping[str, Any]) -> Server:
    # Of a server in a cell that cannot be reached Nova tells id, project and status UNKNOWN.
    flavor, image = server.get("flavor") or {}, server.get("image")
    return Server(
        server["id"],
        server.get("name") or server["id"],
        server["status"],
        server["tenant_id"],
        server.get("OS-EXT-SRV-ATTR:host"),
        flavor.get("original_name") or "",
        flavor.get("vcpus") or 0,
        flavor.get("ram") or 0,
        dict(flavor.get("extra_specs") or {}),
        task_state=server.get("OS-EXT-STS:task_state"),
        image_properties=dict(image.get("properties") or {}) if image else None,
    )
