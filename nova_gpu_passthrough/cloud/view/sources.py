# SPDX-License-Identifier: Apache-2.0
"""What is known of each host that has GPUs, or that the fleet names, before it is put together."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nova_gpu_passthrough.cloud.view import devices, providers
from nova_gpu_passthrough.cloud.view.api import Api
from nova_gpu_passthrough.cloud.view.devices import Holder
from nova_gpu_passthrough.cloud.view.model import Server
from nova_gpu_passthrough.cloud.view.providers import Directory, Tree
from nova_gpu_passthrough.fleet.model import HostGroup, Mode
from nova_gpu_passthrough.fleet.offers import Kind, Offer, Offered

if TYPE_CHECKING:
    from nova_gpu_passthrough.fleet.resolve import Resolved


@dataclass(frozen=True)
class Compute:
    """One nova-compute and its hypervisor."""

    host: str
    #: The hypervisor's name, which is that of its resource provider.
    node: str
    #: UUID of the hypervisor, which is that of its resource provider; None where there is none.
    provider: str | None
    up: bool
    enabled: bool
    disabled_reason: str
    availability_zone: str | None


@dataclass
class Source:
    """One host; what is read later is added to it."""

    name: str
    #: None where Nova does not know it.
    compute: Compute | None
    #: None where Placement does not know it.
    tree: Tree | None
    group: HostGroup | None = None
    #: What its inventory offers to servers; None without an inventory.
    offer: Offer | None = None
    aggregates: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    servers: tuple[Server, ...] = ()
    #: Of devices in use, by provider.
    holders: Mapping[str, Sequence[Holder]] = field(default_factory=dict)
    #: Whether it is known who of them is a server of this host.
    judged: bool = False

    @property
    def travellers(self) -> bool:
        """Whether servers on their way to or from it hold devices, and so CPUs and memory."""
        here = {server.id for server in self.servers}
        return self.judged and any(
            holder.consumer not in here and not holder.wrong
            for holders in self.holders.values()
            for holder in holders
        )

    @property
    def name_in_nova(self) -> str:
        """What servers and moves name it."""
        return self.compute.host if self.compute else self.name

    @property
    def busy(self) -> bool:
        """Whether anything of it is allocated."""
        if self.tree is None:
            # Nobody tells.
            return True
        return any(
            resource.used
            for provider in (self.tree.root, *self.tree.devices)
            for resource in provider.resources.values()
        )

    @property
    def gpus_are_passed_through(self) -> bool:
        """Whether the fleet means its GPUs to be devices of Nova's PCI tracker."""
        return self.group is None or self.group.mode is Mode.PASSTHROUGH

    @property
    def offered(self) -> Mapping[str, Sequence[Offered]]:
        """Devices of its inventory by the address of their provider."""
        if self.offer is None:
            return {}
        if self.gpus_are_passed_through:
            return devices.by_address(self.offer.devices)
        inventory = self.offer.inventory
        return devices.by_address(
            Offered(inventory.device(gpu), Kind.GPU, gpu.model, gpu, gpu.switch)
            for gpu in inventory.gpus
        )


def find(api: Api, resolved: "Resolved | None") -> list[Source]:
    """All hosts, in the order of their names."""
    known = providers.directory(api)
    found = read(api)
    groups = dict(resolved.groups) if resolved else {}
    names = {compute: _name(compute, groups) for compute in found}
    by_root = {compute.provider: compute for compute in found if compute.provider}
    roots = {
        root: by_root[root].node if root in by_root else _orphan(root, known)
        for root in known.candidates
    }
    ours = {compute.provider: compute for compute in found if names[compute] in groups}
    roots |= {root: compute.node for root, compute in ours.items() if root}
    vgpus = {
        root
        for root, compute in ours.items()
        if root and groups[names[compute]].mode is not Mode.PASSTHROUGH
    }
    trees = providers.trees(api, roots, known, vgpus)
    by_host = aggregates_by_host(api)
    offers = _offers(resolved) if resolved else {}
    models = {gpu.model for offer in offers.values() for gpu in offer.inventory.gpus}

    def source(name: str, compute: Compute | None, tree: Tree | None) -> Source:
        metadata = by_host.get(compute.host, {}) if compute else {}
        return Source(name, compute, tree, groups.get(name), offers.get(name), metadata)

    sources = {}
    for compute, name in names.items():
        tree = trees.pop(compute.provider or "", None)
        if name in groups or (tree and has_gpus(tree, models)):
            sources[name] = source(name, compute, tree)
    # What was left behind of compute nodes that are no more.
    for tree in trees.values():
        if has_gpus(tree, models):
            sources.setdefault(tree.root.name, source(tree.root.name, None, tree))
    for name in groups.keys() - sources.keys():
        sources[name] = source(name, None, None)
    return [sources[name] for name in sorted(sources)]


def has_gpus(tree: Tree, models: Collection[str]) -> bool:
    """Whether traits or resource classes tell of GPUs."""
    return any(devices.device("", provider, (), (), models).model for provider in tree.devices)


def _name(compute: Compute, groups: Mapping[str, HostGroup]) -> str:
    """The host's name in the fleet: Nova's, or the hypervisor's where only that is there."""
    if compute.host not in groups and compute.node in groups:
        return compute.node
    return compute.host


def _orphan(root: str, known: Directory) -> str:
    below = (known.names[device] for device, parent in known.roots.items() if parent == root)
    return next(filter(None, map(devices.node_of, below)), root)


def _offers(resolved: "Resolved") -> dict[str, Offer]:
    """Offers by host; empty ones for hosts whose GPUs all stay with the host."""
    offers = {name: Offer(found, ()) for name, found in resolved.inventories.items()}
    return offers | {offer.host: offer for offer in resolved.offers}


def models_of(sources: Sequence[Source]) -> Iterator[str]:
    """GPU models in all inventories, for the traits that stand for them."""
    for source in sources:
        if source.offer:
            yield from (gpu.model for gpu in source.offer.inventory.gpus)


def read(api: Api) -> list[Compute]:
    """All compute nodes of the cloud, in the order of their names."""
    services = {
        service["host"]: service
        for service in api.nova("/os-services", binary="nova-compute")["services"]
    }
    computes = []
    for hypervisor in api.pages("/os-hypervisors/detail", "hypervisors"):
        host = hypervisor["service"]["host"]
        computes.append(
            _compute(
                host, hypervisor["hypervisor_hostname"], hypervisor["id"], services.get(host, {})
            )
        )
    known = {compute.host for compute in computes}
    computes += [_compute(h, h, None, services[h]) for h in services if h not in known]
    return sorted(computes, key=lambda compute: (compute.host, compute.node))


def aggregates_by_host(api: Api) -> dict[str, dict[str, Mapping[str, str]]]:
    """Metadata by name of aggregate, by host."""
    found: dict[str, dict[str, Mapping[str, str]]] = {}
    for aggregate in api.nova("/os-aggregates")["aggregates"]:
        for host in aggregate["hosts"]:
            found.setdefault(host, {})[aggregate["name"]] = dict(aggregate["metadata"])
    return found


def _compute(
    host: str, node: str, provider: str | None, service: Mapping[str, str | None]
) -> Compute:
    # A cell that cannot be reached tells status UNKNOWN and no state (microversion 2.69).
    return Compute(
        host,
        node,
        provider,
        service.get("state") == "up",
        service.get("status") == "enabled",
        service.get("disabled_reason") or "",
        service.get("zone"),
    )
