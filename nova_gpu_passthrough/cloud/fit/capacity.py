# SPDX-License-Identifier: Apache-2.0
"""Count how many more servers of each GPU flavor fit now.

Servers of a flavor are put on a host one after the other, by the rules of Placement, the
scheduler's filters and the claim (``nova_rules/fill.py``), until one is refused. Hosts do not
depend on each other, so their numbers add up. Hosts with equal free capacity are counted once.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nova_gpu_passthrough.cloud.fit import (
    filter_facts,
    free_capacity,
    gpu_flavors,
    reservations,
    stranded_gpus,
)
from nova_gpu_passthrough.cloud.fit.gpu_flavors import GpuFlavor
from nova_gpu_passthrough.cloud.fit.host_judge import HostJudge
from nova_gpu_passthrough.cloud.fit.stranded_gpus import StrandedGpu
from nova_gpu_passthrough.cloud.view.model import CloudView
from nova_gpu_passthrough.nova_rules import fill
from nova_gpu_passthrough.nova_rules.host_capacity import HostCapacity
from nova_gpu_passthrough.nova_rules.refusal import Constraint, Refusal

if TYPE_CHECKING:
    from nova_gpu_passthrough.fleet.resolve import ResolvedFleet


@dataclass(frozen=True)
class FlavorCapacity:
    """How many more servers of one flavor fit now, if no other servers are created."""

    flavor: str
    #: Number of GPUs of one server.
    gpus: int
    #: The GPU model; None if the flavor requests several.
    model: str | None
    #: The sum over all hosts.
    servers: int
    #: Servers that fit, by host; every host of the cloud, with 0 where none fits.
    by_host: Mapping[str, int] = field(default_factory=dict)
    #: What refuses the next server after the last one that fits, by host.
    limits: Mapping[str, Refusal] = field(default_factory=dict)
    #: False if something about the flavor or its hosts is not known; ``notes`` describe it.
    exact: bool = True
    #: One sentence each, with the name of the flavor or the host.
    notes: tuple[str, ...] = ()
    #: Hosts that have GPUs for the flavor, free or not.
    hosts_with_gpus: frozenset[str] = frozenset()

    @property
    def hosts(self) -> int:
        """The number of hosts that take at least one more server."""
        return sum(1 for servers in self.by_host.values() if servers)

    def detail(self, host: str) -> str:
        """Return why a host refuses the next server: "after 4 more: ..." if it takes four."""
        return self.limits[host].after(self.by_host[host])

    @property
    def limited_by(self) -> Constraint | None:
        """The constraint that most hosts meet after the last server that fits; None without hosts.

        Hosts without any GPU for the flavor count only if no host has one.
        """
        constraints = [
            refusal.constraint
            for host, refusal in self.limits.items()
            if not self.hosts_with_gpus or host in self.hosts_with_gpus
        ]
        order = list(Constraint)
        return max(constraints, key=lambda c: (constraints.count(c), -order.index(c)), default=None)


@dataclass(frozen=True)
class CloudCapacity:
    """The capacity of all GPU flavors, and the stranded GPUs, at one moment."""

    #: Time of the view: ISO 8601 in UTC.
    taken_at: str
    #: Sorted by model, number of GPUs and name.
    flavors: tuple[FlavorCapacity, ...] = ()
    #: Sorted by host and address.
    stranded: tuple[StrandedGpu, ...] = ()
    #: What could not be read or is uncertain, one sentence each.
    notes: tuple[str, ...] = ()


def count(
    view: CloudView,
    resolved: "ResolvedFleet | None",
    names: Collection[str] | None = None,
    project: str | None = None,
    project_names: Mapping[str, str] | None = None,
) -> CloudCapacity:
    """Count the servers that fit, and find the GPUs that no server can use.

    :param resolved: the fleet, whose aliases say which GPUs a flavor requests
    :param names: names of the flavors to count; None: all GPU flavors, of a project all that it may
        use. GPUs are stranded only where no GPU flavor of the cloud can use them, whichever flavors
        are counted
    :param project: id of the servers' project; None: any project that may use a flavor
    :param project_names: names of projects by id, as far as they are known
    """
    if resolved is None:
        return CloudCapacity(
            view.taken_at,
            notes=("without a fleet file (--fleet) it is not known what flavors request",),
        )
    flavors, notes = gpu_flavors.find(view.flavors, resolved)
    free_by_host = {host.name: free_capacity.of_host(host) for host in view.hosts}
    judges = {
        one.flavor.name: HostJudge(
            resolved,
            view.aggregates,
            one.demand,
            filter_facts.of_flavor(one.flavor, project),
            gpu_flavors.access_refusal(one.flavor, project),
            project_names,
        )
        for one in flavors
    }
    chosen = [
        one
        for one in flavors
        if (
            one.flavor.name in names
            if names is not None
            else not gpu_flavors.access_refusal(one.flavor, project)
        )
    ]
    if names is None and len(chosen) < len(flavors):
        others = ", ".join(one.flavor.name for one in flavors if one not in chosen)
        notes.append(f"the project has no access to {others}")
    counted = tuple(
        _count_flavor(view, free_by_host, one, judges[one.flavor.name]) for one in chosen
    )
    if project is None:
        notes += reservations.notes(view, resolved, project_names or {})
    return CloudCapacity(
        view.taken_at,
        counted,
        stranded_gpus.find(view.hosts, free_by_host, flavors, judges),
        tuple(notes),
    )


def _count_flavor(
    view: CloudView,
    free_by_host: Mapping[str, HostCapacity],
    flavor: GpuFlavor,
    judge: HostJudge,
) -> FlavorCapacity:
    flavor_demand, name = flavor.demand, flavor.flavor.name
    cache: dict[HostCapacity, tuple[int, Refusal]] = {}
    by_host: dict[str, int] = {}
    limits: dict[str, Refusal] = {}
    hosts_with_gpus = set()
    notes = [f"flavor {name}: {note}" for note in flavor_demand.notes]
    device_classes = dict(flavor_demand.server_demand.device_classes)
    gpu_classes = [device_classes[gpu.id] for gpu in flavor_demand.server_demand.request.gpus]
    for host in view.hosts:
        free = free_by_host[host.name]
        if any(free.devices_of(gpu_class) for gpu_class in gpu_classes):
            hosts_with_gpus.add(host.name)
        judged = judge.judge(host, free)
        if isinstance(judged, Refusal):
            by_host[host.name], limits[host.name] = 0, judged
        else:
            if free not in cache:
                cache[free] = fill.count_fitting(
                    free, gpu_flavors.applicable_demand(free, flavor_demand)
                )
            by_host[host.name], limits[host.name] = cache[free]
            limit = judge.server_limit(host)
            if limit and limit[0] < by_host[host.name]:
                by_host[host.name], limits[host.name] = limit
        if host.name in hosts_with_gpus:
            notes += gpu_flavors.uncertainties(view, host, flavor_demand)
    notes += [f"flavor {name}: {note}" for note in judge.notes]
    return FlavorCapacity(
        name,
        flavor_demand.gpus,
        flavor.model,
        sum(by_host.values()),
        by_host,
        limits,
        not notes,
        tuple(dict.fromkeys(notes)),
        frozenset(hosts_with_gpus),
    )
