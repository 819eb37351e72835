# SPDX-License-Identifier: Apache-2.0
"""Count servers with GPUs by request class: the mix for the policy ``fragmentation``."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from nova_gpu_passthrough.cloud.view.model import CloudView, Server
from nova_gpu_passthrough.fleet import demand
from nova_gpu_passthrough.fleet.demand import FlavorError
from nova_gpu_passthrough.packing.request_class import RequestClass, of_request

if TYPE_CHECKING:
    from nova_gpu_passthrough.fleet.aliases import Alias
    from nova_gpu_passthrough.fleet.resolve import ResolvedFleet


def count(
    view: CloudView, resolved: "ResolvedFleet"
) -> tuple[Mapping[RequestClass, int], list[str]]:
    """Count the servers with GPUs that are on hosts, by request class.

    :returns: the numbers, and notes on what is uncertain about them, one sentence each
    """
    aliases = demand.by_name(resolved.aliases.values())
    known = disks(view)
    counts: Counter[RequestClass] = Counter()
    notes: dict[str, None] = {}
    for server in _gpu_servers(view, aliases):
        size = server_size(server, known)
        if server.flavor not in known:
            notes[
                f"flavor {server.flavor} was deleted: the disk of its servers is not known and is "
                "not counted"
            ] = None
        try:
            flavor_demand = demand.read(size, server.extra_specs, aliases)
        except FlavorError as error:
            notes[f"servers of flavor {server.flavor} are left out: {error}"] = None
            continue
        request_class = of_request(
            server.flavor,
            flavor_demand.server_demand.request,
            flavor_demand.models,
            size.vcpus,
            size.ram_mib,
            size.local_disk_gib,
        )
        counts[request_class] += 1
    return counts, list(notes)


def disks(view: CloudView) -> Mapping[str, tuple[int, int, int]]:
    """Return disk (GiB), ephemeral disk (GiB) and swap (MiB) by the name of the flavor."""
    return {f.name: (f.disk_gib, f.ephemeral_gib, f.swap_mib) for f in view.flavors}


def server_size(server: Server, known: Mapping[str, tuple[int, int, int]]) -> demand.FlavorSize:
    """Return the size of a server's flavor; without disk, if the flavor was deleted.

    :param known: the disks of flavors, see `disks`
    """
    disk, ephemeral, swap = known.get(server.flavor, (0, 0, 0))
    if server.image_properties is None:
        # The server boots from a volume.
        disk = 0
    return demand.FlavorSize(server.vcpus, server.ram_mib, disk, ephemeral, swap)


def _gpu_servers(view: CloudView, aliases: Mapping[str, "Alias"]) -> Iterable[Server]:
    """Yield the servers that request GPUs by an alias of the fleet."""
    for host in view.hosts:
        for server in host.servers:
            if demand.requests_gpus(server.extra_specs, aliases):
                yield server
