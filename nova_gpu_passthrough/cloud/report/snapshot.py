# SPDX-License-Identifier: Apache-2.0
"""Read everything that metrics and page show, at one moment."""

import functools
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nova_gpu_passthrough.cloud.fit.capacity import CloudCapacity
from nova_gpu_passthrough.cloud.view import device_counts
from nova_gpu_passthrough.cloud.view.model import CloudDevice, CloudView, DeviceState
from nova_gpu_passthrough.cloud.view.owners import Owners

if TYPE_CHECKING:
    from openstack.connection import Connection

    from nova_gpu_passthrough.cloud.view.reader import Progress
    from nova_gpu_passthrough.fleet.resolve import ResolvedFleet


@dataclass(frozen=True)
class Snapshot:
    """The cloud's GPU hosts and their capacity for further servers."""

    view: CloudView
    capacity: CloudCapacity
    owners: Owners = Owners()
    #: Name of the fleet file; empty without one.
    fleet: str = ""
    #: Name of the cloud in clouds.yaml, and its region.
    cloud: str = ""
    #: What is uncertain, besides the notes of view and capacity.
    notes: tuple[str, ...] = ()
    #: Whether capacity was counted, which needs a fleet file.
    counted: bool = True
    #: Whether everyone may read it; see ``redaction``.
    public: bool = False

    @functools.cached_property
    def _stranded(self) -> Counter[tuple[str, str]]:
        return Counter((gpu.host, gpu.address) for gpu in self.capacity.stranded)

    def stranded_units(self, gpu: CloudDevice) -> int:
        """Return how many of the free units of a device are stranded."""
        free = device_counts.units_by_state(gpu)[DeviceState.FREE]
        return min(self._stranded[gpu.host, gpu.address], free)

    def is_stranded(self, gpu: CloudDevice) -> bool:
        """Check whether all free units of a device are stranded."""
        free = device_counts.units_by_state(gpu)[DeviceState.FREE]
        return 0 < self.stranded_units(gpu) == free


def take(
    connection: "Connection",
    resolved: "ResolvedFleet | None" = None,
    progress: "Progress | None" = None,
    names: bool = True,
) -> Snapshot:
    """Read the cloud and count the servers that fit.

    :param progress: called while the cloud is read
    :param names: whether to read the names of projects and users
    :raises openstack.exceptions.SDKException, keystoneauth1.exceptions.ClientException: see
        ``cloud.failures``
    """
    from nova_gpu_passthrough.cloud.fit import capacity
    from nova_gpu_passthrough.cloud.view import owners, read
    from nova_gpu_passthrough.cloud.view.reader import CloudReader

    view = read.read(connection, resolved, progress=progress)
    found = Owners()
    if names:
        waiting = view.servers_without_host
        found = owners.read(CloudReader(connection, progress), (*view.device_servers, *waiting))
    return Snapshot(
        view,
        capacity.count(view, resolved, project_names=found.projects),
        found,
        resolved.file.name if resolved else "",
        cloud_name(connection),
        found.notes,
        resolved is not None,
    )


def cloud_name(connection: "Connection") -> str:
    """Return the name of a cloud in clouds.yaml and its region, as far as they have one."""
    config = connection.config
    name = "" if config.name in ("defaults", "envvars") else config.name
    return " ".join(filter(None, (name, config.region_name)))
