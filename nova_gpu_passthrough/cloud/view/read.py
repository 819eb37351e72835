# SPDX-License-Identifier: Apache-2.0
"""The cloud's GPU hosts, put together from Nova, Placement and a fleet's inventories.

Takes the role admin in a project: Nova's services, hypervisors and other projects' servers, and all
of Placement, are for administrators (policies of Nova 31 to 34 and Placement 13 to 16).

Requests, for H hosts with GPUs: a dozen for the cloud, three for each host, one for each server
that may have a NUMA topology, and one for each server with devices or each device in use, whichever
are fewer.
"""

import datetime
from typing import TYPE_CHECKING

from nova_gpu_passthrough.cloud.view import assembly, flavors, holders, sources
from nova_gpu_passthrough.cloud.view.api import Api, Tell
from nova_gpu_passthrough.cloud.view.model import CloudView, Server
from nova_gpu_passthrough.cloud.view.servers import homeless, on_host, with_cells
from nova_gpu_passthrough.cloud.view.sources import Source

if TYPE_CHECKING:
    from openstack.connection import Connection

    from nova_gpu_passthrough.generate.fleet import Resolved


def read(
    connection: "Connection",
    resolved: "Resolved | None" = None,
    servers: bool = True,
    tell: Tell | None = None,
) -> CloudView:
    """Read the cloud.

    :param resolved: the fleet: names hosts, and tells of devices and NUMA nodes what no API does
    :param servers: without servers it is faster; a device that is allocated is in use then,
        whoever holds it
    :param tell: gets to know how far the reading is
    :raises openstack.exceptions.SDKException, keystoneauth1.exceptions.ClientException: see
        ``cloud.failures``
    """
    api = Api(connection, tell)
    found = sources.find(api, resolved)
    elsewhere: tuple[Server, ...] = ()
    if servers:
        _add_servers(api, found)
        elsewhere = homeless(api)
    holders.find(api, found, elsewhere, judge=servers)
    models = frozenset(sources.models_of(found))
    return CloudView(
        datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        tuple(assembly.host(source, resolved, models) for source in found),
        flavors.read(api),
        elsewhere,
        tuple(note for source in found for note in assembly.notes(source, resolved)),
    )


def _add_servers(api: Api, found: list[Source]) -> None:
    busy = [source for source in found if source.compute and source.busy]
    lists = api.each("servers", busy, lambda source: on_host(api, source.name_in_nova))
    full = iter(with_cells(api, [server for members in lists for server in members]))
    for source, members in zip(busy, lists, strict=True):
        source.servers = tuple(next(full) for _ in members)
