# SPDX-License-Identifier: Apache-2.0
"""The cloud's GPU hosts, put together from Nova, Placement and a fleet's inventories.

Takes the role admin in a project: Nova's services, hypervisors and other projects' servers, and all
of Placement, are for administrators (policies of Nova 31 to 34 and Placement 13 to 16).

Requests, for H hosts with GPUs: a dozen for the cloud, three for each host, one for each server
that may have a NUMA topology, and one for each server with devices or each device in use, whichever
are fewer.
"""

import datetime
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from nova_gpu_passthrough.cloud.view import allocations, devices, flavors, sources
from nova_gpu_passthrough.cloud.view import numa as cells
from nova_gpu_passthrough.cloud.view.api import Api, Tell
from nova_gpu_passthrough.cloud.view.model import CloudView, Device, Host, Server
from nova_gpu_passthrough.cloud.view.servers import homeless, on_host, with_cells
from nova_gpu_passthrough.cloud.view.sources import Source
from nova_gpu_passthrough.fleet import aliases

if TYPE_CHECKING:
    from openstack.connection import Connection

    from nova_gpu_passthrough.fleet.resolve import Resolved


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
    allocations.find(api, found, elsewhere, judge=servers)
    models = frozenset(sources.models_of(found))
    return CloudView(
        datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        tuple(host(source, resolved, models) for source in found),
        flavors.read(api),
        elsewhere,
        tuple(note for source in found for note in notes(source, resolved)),
    )


def _add_servers(api: Api, found: list[Source]) -> None:
    busy = [source for source in found if source.compute and source.busy]
    lists = api.each("servers", busy, lambda source: on_host(api, source.name_in_nova))
    full = iter(with_cells(api, [server for members in lists for server in members]))
    for source, members in zip(busy, lists, strict=True):
        source.servers = tuple(next(full) for _ in members)


def host(source: Source, resolved: "Resolved | None", models: Collection[str]) -> Host:
    """The host.

    :param models: names of GPU models, besides those of the catalogue
    """
    compute, tree = source.compute, source.tree
    whole = cells.layout(source.offer, resolved.settings) if source.offer and resolved else None
    numa = cells.left(whole, source.servers) if whole else ()
    found = sorted(_devices(source, resolved, models), key=lambda device: device.address)
    return Host(
        source.name,
        tree.root.uuid if tree else None,
        bool(compute and compute.up),
        bool(compute and compute.enabled),
        compute.disabled_reason if compute else "",
        source.group.name if source.group else None,
        compute.availability_zone if compute else None,
        source.aggregates,
        tree.root.traits if tree else frozenset(),
        tree.root.resources if tree else {},
        tuple(cell.as_numa_cell() for cell in numa),
        {cell.id: cell.free_pinned for cell in numa},
        whole.cores if whole else (),
        numa,
        tuple(found),
        source.servers,
        compute is not None,
    )


def notes(source: Source, resolved: "Resolved | None") -> Iterator[str]:
    """What is not sure of the host, one sentence each."""
    if source.compute is None:
        where = "the fleet file names it" if source.group else "Placement has providers of it"
        yield f"{source.name}: Nova has no compute node of that name, but {where}"
    elif source.tree is None:
        yield f"{source.name}: Placement has no resource provider of it: see nova-compute's log"
    if source.offer and resolved and source.tree:
        whole = cells.layout(source.offer, resolved.settings)
        differences = list(cells.disagreements(whole, source.tree.root.resources))
        if differences:
            yield (
                f"{source.name}: {', '.join(differences)}: its nova.conf is not what nova-gpu "
                "config generate makes, so free CPUs and memory by NUMA node may be wrong"
            )
        if cells.memory_disagrees(whole, source.tree.root.resources):
            found = source.tree.root.resources["MEMORY_MB"].total
            total = sum(cell.memory_mib for cell in whole.cells)
            yield (
                f"{source.name}: {found} MiB of memory in Placement, {total} in its inventory: "
                "audit the host anew"
            )
    if source.travellers:
        yield (
            f"{source.name}: servers on their way to or from it hold CPUs and memory there, of "
            "whose NUMA nodes Nova's API does not tell"
        )
    if any(
        server.extra_specs.get("hw:emulator_threads_policy") == "isolate"
        for server in source.servers
    ):
        yield (
            f"{source.name}: servers with hw:emulator_threads_policy=isolate take a CPU more, of "
            "which Nova's API does not tell"
        )


def _devices(
    source: Source, resolved: "Resolved | None", models: Collection[str]
) -> Iterator[Device]:
    offered = source.offered
    known = set()
    for provider in source.tree.devices if source.tree else ():
        address = devices.address_of(provider.name) or ""
        known.add(address)
        yield devices.device(
            source.name,
            provider,
            offered.get(address, ()),
            source.holders.get(provider.uuid, ()),
            models,
        )
    if not source.gpus_are_passed_through or resolved is None:
        return
    why = _why_missing(source)
    for address, items in offered.items():
        if address not in known:
            alias = resolved.aliases[aliases.key_of(items[0])]
            yield devices.missing(source.name, address, items, alias.resource_class, why)


def _why_missing(source: Source) -> str:
    if source.compute is None:
        return "Nova has no compute node of that name"
    if source.tree is None:
        return "Placement has no resource provider of the host"
    if not source.tree.devices:
        return "Placement has no PCI device of the host: see [pci] report_in_placement there"
    return "gone from the host's PCI bus, or not in [pci] device_spec of its nova.conf"
