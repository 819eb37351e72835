# SPDX-License-Identifier: Apache-2.0
"""All that metrics and the page are made of, read at one moment."""

import functools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nova_gpu_passthrough.cloud.fit.capacity_model import Capacity
from nova_gpu_passthrough.cloud.report import units
from nova_gpu_passthrough.cloud.view.model import CloudView, Device, DeviceState, Server

if TYPE_CHECKING:
    from openstack.connection import Connection

    from nova_gpu_passthrough.cloud.view.api import Tell
    from nova_gpu_passthrough.fleet.resolve import Resolved


@dataclass(frozen=True)
class Snapshot:
    """The cloud's GPU hosts, and what still fits."""

    view: CloudView
    capacity: Capacity
    #: Names of projects by id, as far as they are known.
    projects: Mapping[str, str] = field(default_factory=dict)
    #: The fleet file's name; empty without one.
    fleet: str = ""
    #: What people call the cloud: its name in clouds.yaml, its region.
    cloud: str = ""
    #: What is not sure, besides what view and capacity say.
    notes: tuple[str, ...] = ()
    #: Whether it is known what flavors ask for, so that it could be counted what fits.
    counted: bool = True

    @functools.cached_property
    def servers(self) -> Mapping[str, Server]:
        """All servers by id, on GPU hosts and on none."""
        hosts = self.view.hosts
        found = (*self.view.homeless, *(server for host in hosts for server in host.servers))
        return {server.id: server for server in found}

    @functools.cached_property
    def _stranded(self) -> Counter[tuple[str, str]]:
        return Counter((gpu.host, gpu.address) for gpu in self.capacity.stranded)

    def stranded(self, gpu: Device) -> int:
        """How many of the free GPUs that a device stands for are stranded."""
        return min(self._stranded[gpu.host, gpu.address], units.by_state(gpu)[DeviceState.FREE])

    def is_stranded(self, gpu: Device) -> bool:
        """Whether what is free of a device is stranded, all of it."""
        return 0 < self.stranded(gpu) == units.by_state(gpu)[DeviceState.FREE]

    def project(self, server: Server) -> str:
        """The name of a server's project, or its id."""
        return self.projects.get(server.project_id, server.project_id)


def take(
    connection: "Connection",
    resolved: "Resolved | None" = None,
    tell: "Tell | None" = None,
    names: bool = True,
) -> Snapshot:
    """Read the cloud and count what fits.

    :param tell: gets to know how far the reading is
    :param names: whether projects' names are asked for
    :raises openstack.exceptions.SDKException, keystoneauth1.exceptions.ClientException: see
        ``cloud.failures``
    """
    from nova_gpu_passthrough.cloud.fit import capacity
    from nova_gpu_passthrough.cloud.view import read

    view = read.read(connection, resolved, tell=tell)
    projects, notes = _projects(connection) if names else ({}, ())
    return Snapshot(
        view,
        capacity.count(view, resolved),
        projects,
        resolved.file.name if resolved else "",
        _cloud(connection),
        notes,
        resolved is not None,
    )


def _projects(connection: "Connection") -> tuple[dict[str, str], tuple[str, ...]]:
    from openstack import exceptions

    identity: Any = connection.identity
    try:
        return {project.id: project.name for project in identity.projects()}, ()
    except exceptions.ForbiddenException:
        return {}, ("Keystone does not tell the names of projects: their ids stand for them",)


def _cloud(connection: "Connection") -> str:
    config = connection.config
    name = "" if config.name in ("defaults", "envvars") else config.name
    return " ".join(filter(None, (name, config.region_name)))
