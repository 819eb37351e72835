# SPDX-License-Identifier: Apache-2.0
"""The cloud's GPU flavors: what their servers need, and what is uncertain about it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nova_gpu_passthrough.cloud.view.model import CloudFlavor, CloudHost, CloudView
from nova_gpu_passthrough.fleet import demand
from nova_gpu_passthrough.fleet.aliases import Alias
from nova_gpu_passthrough.fleet.demand import FlavorDemand, FlavorError
from nova_gpu_passthrough.nova_rules import alias_string
from nova_gpu_passthrough.nova_rules.host_capacity import HostCapacity, ServerDemand
from nova_gpu_passthrough.nova_rules.refusal import Constraint, Refusal, Stage
from nova_gpu_passthrough.topology.fit import FitReason

if TYPE_CHECKING:
    from nova_gpu_passthrough.fleet.resolve import ResolvedFleet


@dataclass(frozen=True)
class GpuFlavor:
    """A flavor that requests GPUs."""

    flavor: CloudFlavor
    demand: FlavorDemand

    @property
    def model(self) -> str | None:
        """The GPU model; None if the flavor requests several."""
        return self.demand.models[0] if len(self.demand.models) == 1 else None


def find(
    flavors: Iterable[CloudFlavor], resolved: "ResolvedFleet"
) -> tuple[tuple[GpuFlavor, ...], list[str]]:
    """Return the GPU flavors, sorted by model, number of GPUs and name, and notes on errors.

    A flavor that Nova refuses is left out, with a note.
    """
    return find_by_aliases(flavors, demand.by_name(resolved.aliases.values()))


def find_by_aliases(
    flavors: Iterable[CloudFlavor], aliases: Mapping[str, Alias]
) -> tuple[tuple[GpuFlavor, ...], list[str]]:
    """Return the GPU flavors as `find`, with aliases by name."""
    found, notes = [], []
    for flavor in flavors:
        if alias_string.EXTRA_SPEC not in flavor.extra_specs:
            continue
        try:
            flavor_demand = demand.read(size(flavor), flavor.extra_specs, aliases)
        except FlavorError as error:
            notes.append(f"flavor {flavor.name} is left out: {error}")
            continue
        if flavor_demand.gpus:
            found.append(GpuFlavor(flavor, flavor_demand))
    found.sort(key=lambda one: (one.model or "", one.demand.gpus, one.flavor.name))
    return tuple(found), notes


def size(flavor: CloudFlavor) -> demand.FlavorSize:
    """Return the size of a flavor."""
    return demand.FlavorSize(
        flavor.vcpus, flavor.ram_mib, flavor.disk_gib, flavor.ephemeral_gib, flavor.swap_mib
    )


def applicable_demand(free: HostCapacity, flavor_demand: FlavorDemand) -> ServerDemand:
    """Return the demand on a host: without NUMA cells, if the host's NUMA nodes are not known."""
    if free.cells or not flavor_demand.server_demand.guest.cells:
        return flavor_demand.server_demand
    request = replace(flavor_demand.server_demand.request, guest_cells=())
    guest = replace(flavor_demand.server_demand.guest, cells=())
    return replace(flavor_demand.server_demand, request=request, guest=guest)


def access_refusal(flavor: CloudFlavor, project: str | None) -> Refusal | None:
    """Return nova-api's refusal of a project that has no access to a flavor.

    :param project: its id; None: any project
    """
    if project is None or flavor.projects is None or project in flavor.projects:
        return None
    detail = f"the project has no access to flavor {flavor.name}"
    return Refusal(Constraint.PROJECT, detail, Stage.API)


def extra_spec_refusal(flavor_demand: FlavorDemand) -> Refusal | None:
    """Return the filter's refusal of a flavor with an invalid ``gpu:`` extra spec."""
    if flavor_demand.invalid is None:
        return None
    return Refusal(
        Constraint.FLAVOR, flavor_demand.invalid, Stage.GPU_FILTER, FitReason.INVALID_REQUEST
    )


def uncertainties(view: CloudView, host: CloudHost, flavor_demand: FlavorDemand) -> list[str]:
    """Describe what is uncertain about a host for the flavor's servers, one sentence each."""
    if not flavor_demand.server_demand.guest.cells and not host.numa:
        return []
    if not host.cells_known:
        unknown = "what servers use of its NUMA nodes is not readable without role admin, so they"
        return [f"{host.name}: {unknown} are not considered"]
    if not host.numa:
        unknown = "the fleet has no inventory of it, so its NUMA nodes and switches are"
        return [f"{host.name}: {unknown} not considered"]
    # The view's notes begin with the name of the host.
    return [note for note in view.notes if note.startswith(f"{host.name}: ")]
