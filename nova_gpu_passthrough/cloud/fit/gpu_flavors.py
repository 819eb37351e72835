# SPDX-License-Identifier: Apache-2.0
"""Flavors of the cloud that ask for GPUs, and what is known of a host for their servers."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nova_gpu_passthrough.cloud.view.model import CloudFlavor, CloudView, Host
from nova_gpu_passthrough.fleet import demand
from nova_gpu_passthrough.fleet.demand import Asked, FlavorError
from nova_gpu_passthrough.nova_rules.host_capacity import Needs, Room
from nova_gpu_passthrough.nova_rules.why_not import Cause, Refused, Stage
from nova_gpu_passthrough.topology.fit import Reason

if TYPE_CHECKING:
    from nova_gpu_passthrough.fleet.resolve import Resolved


@dataclass(frozen=True)
class GpuFlavor:
    """A flavor that asks for GPUs, and what its servers need."""

    flavor: CloudFlavor
    asked: Asked

    @property
    def model(self) -> str | None:
        """The GPUs' model; None for several."""
        return self.asked.models[0] if len(self.asked.models) == 1 else None


def find(
    flavors: Iterable[CloudFlavor], resolved: "Resolved"
) -> tuple[tuple[GpuFlavor, ...], list[str]]:
    """Flavors that ask for GPUs, by model, number of GPUs and name, and what is wrong with others.

    A flavor that Nova refuses is left out.
    """
    aliases = demand.by_name(resolved.aliases.values())
    found, notes = [], []
    for flavor in flavors:
        if demand.ALIAS not in flavor.extra_specs:
            continue
        try:
            asked = demand.read(size(flavor), flavor.extra_specs, aliases)
        except FlavorError as error:
            notes.append(f"flavor {flavor.name} is left out: {error}")
            continue
        if asked.gpus:
            found.append(GpuFlavor(flavor, asked))
    found.sort(key=lambda one: (one.model or "", one.asked.gpus, one.flavor.name))
    return tuple(found), notes


def size(flavor: CloudFlavor) -> demand.Size:
    """A flavor's size."""
    return demand.Size(
        flavor.vcpus, flavor.ram_mib, flavor.disk_gib, flavor.ephemeral_gib, flavor.swap_mib
    )


def fitting(left: Room, asked: Asked) -> Needs:
    """What to ask of a host: where its NUMA nodes are not known, nothing of these."""
    if left.cells or not asked.needs.guest.cells:
        return asked.needs
    request = replace(asked.needs.request, guest_cells=())
    guest = replace(asked.needs.guest, cells=())
    return replace(asked.needs, request=request, guest=guest)


def invalid(asked: Asked) -> Refused | None:
    """What the filter says to a flavor with a ``gpu:`` extra spec that it does not know."""
    if asked.invalid is None:
        return None
    return Refused(Cause.FLAVOR, asked.invalid, Stage.GPU_FILTER, Reason.INVALID_REQUEST)


def doubts(view: CloudView, host: Host, asked: Asked) -> list[str]:
    """What is not sure of a host for a server, one sentence each."""
    if not asked.needs.guest.cells and not host.numa:
        return []
    if not host.numa:
        unknown = "no inventory of the fleet tells its NUMA nodes and switches"
        return [f"{host.name}: {unknown}, which are not looked at"]
    # The view begins such sentences with the host's name.
    return [note for note in view.notes if note.startswith(f"{host.name}: ")]
