# SPDX-License-Identifier: Apache-2.0
"""The mix of servers with GPUs that a cloud has, for the policy ``fragmentation``."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from nova_gpu_passthrough.cloud.view.model import CloudView, Server
from nova_gpu_passthrough.fleet import demand
from nova_gpu_passthrough.fleet.demand import FlavorError
from nova_gpu_passthrough.packing.request_class import RequestClass, of_request

if TYPE_CHECKING:
    from nova_gpu_passthrough.fleet.aliases import Alias
    from nova_gpu_passthrough.fleet.resolve import Resolved


def count(view: CloudView, resolved: "Resolved") -> tuple[Mapping[RequestClass, int], list[str]]:
    """How many servers with GPUs are on hosts, by what they ask of these.

    :returns: also what of it is not sure, one sentence each
    """
    aliases = demand.by_name(resolved.aliases.values())
    disks = {f.name: (f.disk_gib, f.ephemeral_gib, f.swap_mib) for f in view.flavors}
    counts: Counter[RequestClass] = Counter()
    notes: dict[str, None] = {}
    for server in _with_aliases(view, aliases):
        disk, ephemeral, swap = disks.get(server.flavor, (0, 0, 0))
        if server.image_properties is None:
            # Its disk is a volume.
            disk = 0
        if server.flavor not in disks:
            notes[
                f"flavor {server.flavor} is gone: the disk of its servers is not known and is "
                "not counted"
            ] = None
        size = demand.Size(server.vcpus, server.ram_mib, disk, ephemeral, swap)
        try:
            asked = demand.read(size, server.extra_specs, aliases)
        except FlavorError as error:
            notes[f"servers of flavor {server.flavor} are left out: {error}"] = None
            continue
        wanted = of_request(
            server.flavor,
            asked.needs.request,
            asked.models,
            size.vcpus,
            size.ram_mib,
            size.local_disk_gib,
        )
        counts[wanted] += 1
    return counts, list(notes)


def _with_aliases(view: CloudView, aliases: Mapping[str, "Alias"]) -> Iterable[Server]:
    """Servers that ask for GPUs."""
    for host in view.hosts:
        for server in host.servers:
            if demand.asks_for_gpus(server.extra_specs, aliases):
                yield server
