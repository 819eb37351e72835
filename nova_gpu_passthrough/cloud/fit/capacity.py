# SPDX-License-Identifier: Apache-2.0
"""How many more servers of each GPU flavor fit now.

A server of a flavor is put on a host again and again by the rules of Placement, the scheduler's
filters and the claim (``nova_rules/emulate_placement.py``), until it is refused. Hosts do not
depend on each other, so their numbers add up. Hosts with equal rooms are counted once.
"""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from nova_gpu_passthrough.cloud.fit import gpu_flavors, host_capacity, stranded
from nova_gpu_passthrough.cloud.fit.capacity_model import Capacity, FlavorCapacity
from nova_gpu_passthrough.cloud.fit.gpu_flavors import GpuFlavor
from nova_gpu_passthrough.cloud.view.model import CloudView
from nova_gpu_passthrough.nova_rules import emulate_placement
from nova_gpu_passthrough.nova_rules.host_capacity import Room
from nova_gpu_passthrough.nova_rules.why_not import Refused

if TYPE_CHECKING:
    from nova_gpu_passthrough.fleet.resolve import Resolved


def count(
    view: CloudView, resolved: "Resolved | None", names: Collection[str] | None = None
) -> Capacity:
    """Count servers that fit, and find GPUs that none can use.

    :param resolved: the fleet, whose aliases tell what flavors ask for
    :param names: of flavors to count; None: all GPU flavors. GPUs are stranded only where no GPU
        flavor of the cloud can use them, whichever are counted
    """
    if resolved is None:
        return Capacity(
            view.taken_at,
            notes=("without a fleet file (--fleet) it is not known what flavors ask for",),
        )
    flavors, notes = gpu_flavors.find(view.flavors, resolved)
    known = {host.name: host_capacity.room(host) for host in view.hosts}
    return Capacity(
        view.taken_at,
        tuple(
            _count(view, known, flavor)
            for flavor in flavors
            if names is None or flavor.flavor.name in names
        ),
        stranded.find(view.hosts, known, flavors),
        tuple(notes),
    )


def _count(view: CloudView, known: Mapping[str, Room], flavor: GpuFlavor) -> FlavorCapacity:
    asked = flavor.asked
    answers: dict[Room, tuple[int, Refused]] = {}
    by_host: dict[str, int] = {}
    limits: dict[str, Refused] = {}
    having = set()
    name = flavor.flavor.name
    doubtful = [f"flavor {name}: {note}" for note in asked.notes]
    kinds = dict(asked.needs.kinds)
    gpus = [kinds[demand.id] for demand in asked.needs.request.gpus]
    for host in view.hosts:
        left = known[host.name]
        if any(left.of(kind) for kind in gpus):
            having.add(host.name)
        closed = host_capacity.closed(host) or gpu_flavors.invalid(asked)
        if closed:
            by_host[host.name], limits[host.name] = 0, closed
            continue
        if left not in answers:
            answers[left] = emulate_placement.count(left, gpu_flavors.fitting(left, asked))
        by_host[host.name], limits[host.name] = answers[left]
        if host.name in having:
            doubtful += gpu_flavors.doubts(view, host, asked)
    return FlavorCapacity(
        name,
        asked.gpus,
        flavor.model,
        sum(by_host.values()),
        by_host,
        limits,
        not doubtful,
        tuple(dict.fromkeys(doubtful)),
        frozenset(having),
    )
