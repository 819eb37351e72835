# SPDX-License-Identifier: Apache-2.0
"""Read the cloud's GPU hosts from Nova, Placement and the inventories of a fleet.

This needs the role admin in a project: by the default policies only administrators may read Nova's
services and hypervisors, other projects' servers, and anything of Placement. Where policies permit
less than everything, the view has less, and notes on that (`Restricted`); without services,
hypervisors and Placement there is no view.

Requests for H hosts with GPUs: a dozen for the cloud, three for each host, one for each server
that may have a NUMA topology, and one for each server with devices or each device in use, whichever
are fewer.

`read` calls the other modules of this folder in this order: ``providers``, ``servers``,
``allocations`` (consumers of devices), for each host ``devices`` and ``numa_capacity``, and
``flavors``.
"""

import datetime
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nova_gpu_passthrough.cloud.view import (
    allocations,
    devices,
    flavors,
    numa_capacity,
    providers,
    servers,
)
from nova_gpu_passthrough.cloud.view.host_data import ComputeNode, HostData
from nova_gpu_passthrough.cloud.view.model import (
    CloudDevice,
    CloudFlavor,
    CloudHost,
    CloudView,
    Server,
)
from nova_gpu_passthrough.cloud.view.providers import PciProviders, ProviderTree
from nova_gpu_passthrough.cloud.view.reader import HYPERVISORS, CloudReader, Progress, Restricted
from nova_gpu_passthrough.fleet import aliases, host_cells
from nova_gpu_passthrough.fleet.host_cells import ReportedResources
from nova_gpu_passthrough.fleet.model import HostGroup, Mode
from nova_gpu_passthrough.fleet.offers import HostOffer

if TYPE_CHECKING:
    from openstack.connection import Connection

    from nova_gpu_passthrough.fleet.resolve import ResolvedFleet

#: Fields of hypervisors that ``HostState`` of nova-scheduler also has.
_ATTRIBUTES = (
    "host_ip",
    "hypervisor_type",
    "hypervisor_version",
    "hypervisor_hostname",
    "cpu_info",
)


def read(
    connection: "Connection",
    resolved: "ResolvedFleet | None" = None,
    with_servers: bool = True,
    progress: Progress | None = None,
) -> CloudView:
    """Read the cloud.

    :param resolved: the fleet, which names hosts and describes devices and NUMA nodes in more
        detail than the APIs
    :param with_servers: whether to read servers. Without them reading is faster, but allocations
        are not checked: every allocated device is in use, and none is stuck
    :param progress: called while the cloud is read
    :raises openstack.exceptions.SDKException, keystoneauth1.exceptions.ClientException: see
        ``cloud.failures``
    """
    reader = CloudReader(connection, progress)
    aggregates = reader.unless_forbidden(Restricted.AGGREGATES, lambda: _aggregates(reader)) or ()
    hosts = _find_hosts(reader, resolved, aggregates)
    _add_devices_without_traits(reader, hosts)
    without_host: tuple[Server, ...] = ()
    if with_servers:
        reader.unless_forbidden(Restricted.SERVERS, lambda: _add_servers(reader, hosts))
        without_host = (
            reader.unless_forbidden(Restricted.SERVERS, lambda: servers.without_host(reader)) or ()
        )
    may_check = with_servers and Restricted.SERVERS not in reader.restricted
    allocations.read(reader, hosts, without_host, check=may_check)
    if with_servers and not may_check:
        for host in hosts:
            host.servers, host.servers_known = (), not host.has_allocations
    models = frozenset(gpu.model for h in hosts if h.offer for gpu in h.offer.inventory.gpus)
    return CloudView(
        datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        tuple(_host(host, resolved, models) for host in hosts),
        _flavors(reader, resolved),
        without_host,
        (
            *(f"without role admin, {what.value}" for what in reader.restricted),
            *(note for host in hosts for note in _notes(host, resolved)),
        ),
        {aggregate["name"]: dict(aggregate["metadata"]) for aggregate in aggregates},
    )


def _flavors(reader: CloudReader, resolved: "ResolvedFleet | None") -> tuple[CloudFlavor, ...]:
    found = flavors.read(reader)
    names = {flavor.name for flavor in found}
    hidden = [one for one in flavors.hidden(reader, resolved) if one.name not in names]
    return tuple(sorted((*found, *hidden), key=lambda flavor: flavor.name))


def _find_hosts(
    reader: CloudReader, resolved: "ResolvedFleet | None", aggregates: Iterable[Mapping[str, Any]]
) -> list[HostData]:
    """Find the hosts that have GPUs or that the fleet names, sorted by name."""
    pci = providers.pci_providers(reader)
    computes = _compute_nodes(reader)
    groups = dict(resolved.groups) if resolved else {}
    names = {compute: _fleet_name(compute, groups) for compute in computes}
    by_root = {compute.provider: compute for compute in computes if compute.provider}
    roots = {
        root: by_root[root].node if root in by_root else _node_of_root(root, pci)
        for root in pci.gpu_roots
    }
    in_fleet = {compute.provider: compute for compute in computes if names[compute] in groups}
    roots |= {root: compute.node for root, compute in in_fleet.items() if root}
    with_vgpus = {
        root
        for root, compute in in_fleet.items()
        if root and groups[names[compute]].mode is not Mode.PASSTHROUGH
    }
    trees = providers.trees(reader, roots, pci, with_vgpus)
    metadata_by_host = _metadata_by_host(aggregates)
    offers = _offers(resolved) if resolved else {}
    models = {gpu.model for offer in offers.values() for gpu in offer.inventory.gpus}

    def data(name: str, compute: ComputeNode | None, tree: ProviderTree | None) -> HostData:
        metadata = metadata_by_host.get(compute.host, {}) if compute else {}
        return HostData(name, compute, tree, groups.get(name), offers.get(name), metadata)

    hosts = {}
    for compute, name in names.items():
        tree = trees.pop(compute.provider or "", None)
        if name in groups or (tree and _has_gpus(tree, models)):
            hosts[name] = data(name, compute, tree)
    # Providers of compute nodes that were deleted.
    for tree in trees.values():
        if _has_gpus(tree, models):
            hosts.setdefault(tree.root.name, data(tree.root.name, None, tree))
    for name in groups.keys() - hosts.keys():
        hosts[name] = data(name, None, None)
    return [hosts[name] for name in sorted(hosts)]


def _add_devices_without_traits(reader: CloudReader, hosts: list[HostData]) -> None:
    """Search for devices of inventories that `trees` did not find by their traits."""
    absent: dict[str, set[str]] = {}
    for host in hosts:
        if host.tree and host.compute and host.is_passthrough:
            names = {devices.provider_name(host.compute.node, address) for address in host.offered}
            absent[host.name] = names - {device.name for device in host.tree.devices}
    todo = [(host, host.tree) for host in hosts if host.tree and absent.get(host.name)]
    trees = reader.each(
        "devices without traits",
        todo,
        lambda one: providers.with_lacking_traits(reader, one[1], absent[one[0].name]),
    )
    for (host, _), tree in zip(todo, trees, strict=True):
        host.tree = tree


def _compute_nodes(reader: CloudReader) -> list[ComputeNode]:
    """Read all compute nodes of the cloud, sorted by name."""
    services = {
        service["host"]: service
        for service in reader.nova("/os-services", binary="nova-compute")["services"]
    }
    computes = []
    path = "/os-hypervisors/detail"
    for hypervisor in reader.pages(path, "hypervisors", version=HYPERVISORS):
        host = hypervisor["service"]["host"]
        computes.append(
            _compute_node(
                host,
                hypervisor["hypervisor_hostname"],
                hypervisor["id"],
                services.get(host, {}),
                {key: hypervisor[key] for key in _ATTRIBUTES if hypervisor.get(key) is not None},
            )
        )
    known = {compute.host for compute in computes}
    computes += [_compute_node(h, h, None, services[h]) for h in services if h not in known]
    return sorted(computes, key=lambda compute: (compute.host, compute.node))


def _compute_node(
    host: str,
    node: str,
    provider: str | None,
    service: Mapping[str, str | None],
    attributes: Mapping[str, Any] | None = None,
) -> ComputeNode:
    # A service in an unreachable Nova cell has status UNKNOWN and no state (microversion 2.69).
    return ComputeNode(
        host,
        node,
        provider,
        service.get("state") == "up",
        service.get("status") == "enabled",
        service.get("disabled_reason") or "",
        service.get("zone"),
        attributes or {},
    )


def _aggregates(reader: CloudReader) -> Sequence[Mapping[str, Any]]:
    aggregates: Sequence[Mapping[str, Any]] = reader.nova("/os-aggregates")["aggregates"]
    return aggregates


def _metadata_by_host(
    aggregates: Iterable[Mapping[str, Any]],
) -> dict[str, dict[str, Mapping[str, str]]]:
    """Return the metadata of aggregates by name, by host."""
    by_host: dict[str, dict[str, Mapping[str, str]]] = {}
    for aggregate in aggregates:
        for host in aggregate["hosts"]:
            by_host.setdefault(host, {})[aggregate["name"]] = dict(aggregate["metadata"])
    return by_host


def _fleet_name(compute: ComputeNode, groups: Mapping[str, HostGroup]) -> str:
    """Return the host's name in the fleet: the hypervisor's, if the fleet has only that one."""
    if compute.host not in groups and compute.node in groups:
        return compute.node
    return compute.host


def _node_of_root(root: str, pci: PciProviders) -> str:
    """Return the name of a root provider without compute node, known from its devices' names."""
    children = (pci.names[device] for device, parent in pci.roots.items() if parent == root)
    return next(filter(None, map(devices.node_name, children)), root)


def _offers(resolved: "ResolvedFleet") -> dict[str, HostOffer]:
    """Return offers by host; empty ones for hosts that offer no device to servers."""
    offers = {name: HostOffer(found, ()) for name, found in resolved.inventories.items()}
    return offers | {offer.host: offer for offer in resolved.offers}


def _has_gpus(tree: ProviderTree, models: Collection[str]) -> bool:
    """Check whether a device is a GPU by its traits or resource class."""
    return any(devices.device("", provider, (), (), models).model for provider in tree.devices)


def _add_servers(reader: CloudReader, hosts: list[HostData]) -> None:
    used = [host for host in hosts if host.compute and host.has_allocations]
    lists = reader.each("servers", used, lambda host: servers.on_host(reader, host.compute_host))
    complete = iter(servers.with_cells(reader, [server for found in lists for server in found]))
    for host, found in zip(used, lists, strict=True):
        host.servers = tuple(next(complete) for _ in found)


def _host(host: HostData, resolved: "ResolvedFleet | None", models: Collection[str]) -> CloudHost:
    """Put one host together.

    :param models: names of GPU models, besides those of the catalogue
    """
    compute, tree = host.compute, host.tree
    whole = _empty_host(host, resolved)
    found = sorted(_devices(host, resolved, models), key=lambda device: device.address)
    return CloudHost(
        host.name,
        tree.root.uuid if tree else None,
        bool(compute and compute.up),
        bool(compute and compute.enabled),
        compute.disabled_reason if compute else "",
        host.group.name if host.group else None,
        compute.availability_zone if compute else None,
        host.aggregates,
        tree.root.traits if tree else frozenset(),
        tree.root.resources if tree else {},
        numa_capacity.free_cells(whole, host.servers) if whole and host.cells_known else (),
        tuple(found),
        host.servers,
        compute is not None,
        resolved.domains.get(host.name, {}) if resolved else {},
        host.cells_known,
        compute.host if compute else host.name,
        {"host": compute.host, "nodename": compute.node, **compute.attributes} if compute else {},
    )


def _empty_host(host: HostData, resolved: "ResolvedFleet | None") -> ReportedResources | None:
    """Return the resources of the host while it is empty; None without an inventory."""
    if host.offer is None or resolved is None:
        return None
    return host_cells.make(host.offer, resolved.settings)


def _devices(
    host: HostData, resolved: "ResolvedFleet | None", models: Collection[str]
) -> Iterator[CloudDevice]:
    offered = host.offered
    known = set()
    for provider in host.tree.devices if host.tree else ():
        address = devices.pci_address(provider.name) or ""
        known.add(address)
        yield devices.device(
            host.name,
            provider,
            offered.get(address, ()),
            host.consumers.get(provider.uuid, ()),
            models,
        )
    if not host.is_passthrough or resolved is None:
        return
    why = _why_missing(host)
    for address, items in offered.items():
        if address not in known:
            alias = resolved.aliases[aliases.alias_key(items[0])]
            yield devices.missing(host.name, address, items, alias.resource_class, why)


def _why_missing(host: HostData) -> str:
    if host.compute is None:
        return "Nova has no compute node of that name"
    if host.tree is None:
        return "Placement has no resource provider of the host"
    if not host.tree.devices:
        return "Placement has no PCI device of the host: see [pci] report_in_placement there"
    return "gone from the host's PCI bus, or not in [pci] device_spec of its nova.conf"


def _notes(host: HostData, resolved: "ResolvedFleet | None") -> Iterator[str]:
    """Describe what is uncertain about a host, one sentence each."""
    if host.compute is None:
        where = (
            "the fleet file names it" if host.group else "Placement has resource providers of it"
        )
        yield f"{host.name}: Nova has no compute node of that name, but {where}"
    elif host.tree is None:
        yield f"{host.name}: Placement has no resource provider of it: see nova-compute's log"
    whole = _empty_host(host, resolved)
    if whole and host.tree:
        resources = host.tree.root.resources
        differences = list(numa_capacity.placement_differences(whole, resources))
        if differences:
            yield (
                f"{host.name}: {', '.join(differences)}: its nova.conf is not the one that "
                "nova-gpu config generate makes, so free CPUs and memory by NUMA node may be wrong"
            )
        if numa_capacity.memory_differs(whole, resources):
            yield (
                f"{host.name}: {resources['MEMORY_MB'].total} MiB of memory in Placement, "
                f"{whole.memory_mib} in its inventory: audit the host again"
            )
    if host.has_moving_servers:
        yield (
            f"{host.name}: servers that are being moved to or from it use CPUs and memory there, "
            "and Nova's API does not report of which NUMA nodes"
        )
    if any(
        server.extra_specs.get("hw:emulator_threads_policy") == "isolate" for server in host.servers
    ):
        yield (
            f"{host.name}: servers with hw:emulator_threads_policy=isolate use one more CPU, which "
            "Nova's API does not report"
        )
