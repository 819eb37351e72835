# SPDX-License-Identifier: Apache-2.0
"""The mix of servers with GPUs that a cloud has, for the policy ``fragmentation``."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from nova_gpu_passthrough.cloud.view.model import CloudView, Server
from nova_gpu_passthrough.generate import requests
from nova_gpu_passthrough.generate.requests import Asked, FlavorError
from nova_gpu_passthrough.topology.model import Preference
from nova_gpu_passthrough.topology.request_class import Reach, RequestClass, reach

if TYPE_CHECKING:
    from nova_gpu_passthrough.generate.aliases import Alias
    from nova_gpu_passthrough.generate.fleet import Resolved


def count(view: CloudView, resolved: "Resolved") -> tuple[Mapping[RequestClass, int], list[str]]:
    """How many servers with GPUs are on hosts, by what they ask of these.

    :returns: also what of it is not sure, one sentence each
    """
    aliases = requests.by_name(resolved.aliases.values())
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
        size = requests.Size(server.vcpus, server.ram_mib, disk, ephemeral, swap)
        try:
            asked = requests.read(size, server.extra_specs, aliases)
        except FlavorError as error:
            notes[f"servers of flavor {server.flavor} are left out: {error}"] = None
            continue
        counts[_class(server, asked, size)] += 1
    return counts, list(notes)


def _with_aliases(view: CloudView, aliases: Mapping[str, "Alias"]) -> Iterable[Server]:
    """Servers that ask for GPUs."""
    for host in view.hosts:
        for server in host.servers:
            if requests.asks_for_gpus(server.extra_specs, aliases):
                yield server


def _class(server: Server, asked: Asked, size: requests.Size) -> RequestClass:
    request, guest = asked.needs.request, asked.needs.guest
    cells = guest.cells
    near = request.numa is Preference.REQUIRED
    return RequestClass(
        server.flavor,
        asked.gpus,
        asked.models[0] if len(asked.models) == 1 else None,
        sum(cell.shared_cpus for cell in cells) if cells else guest.vcpus,
        sum(cell.pinned_cpus for cell in cells),
        guest.memory_mib,
        size.disk_gib + size.ephemeral_gib + -(-size.swap_mib // 1024),
        len(cells),
        max(
            (reach(demand.numa_policy, len(cells), near) for demand in request.gpus),
            default=Reach.ANYWHERE,
        ),
        request.link is Preference.REQUIRED and asked.gpus > 1,
    )
