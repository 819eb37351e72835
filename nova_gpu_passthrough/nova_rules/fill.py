# SPDX-License-Identifier: Apache-2.0
"""Fill a host with servers, one after the other, until the next one is refused."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nova_gpu_passthrough.nova_rules import server_fit
from nova_gpu_passthrough.nova_rules.host_capacity import HostCapacity, ServerDemand
from nova_gpu_passthrough.nova_rules.refusal import Refusal

#: What remains after a server of a flavor, or why it is refused, by the capacity before it and the
#: name of its flavor.
_Cache = dict[tuple[HostCapacity, str], HostCapacity | Refusal]


@dataclass(frozen=True)
class FilledHost:
    """A host that fits no more servers."""

    #: The capacity that remains.
    capacity: HostCapacity
    #: The number of servers by flavor, without those of which none fits.
    servers: Mapping[str, int]
    #: Why the host refuses the next server of the last flavor.
    refusal: Refusal


def count_fitting(capacity: HostCapacity, demand: ServerDemand) -> tuple[int, Refusal]:
    """Return how many servers of one demand fit on the host, and the refusal of the next one."""
    filled = fill(capacity, {"": demand})
    return filled.servers.get("", 0), filled.refusal


def fill(
    capacity: HostCapacity, demands: Mapping[str, ServerDemand], cache: _Cache | None = None
) -> FilledHost:
    """Put as many servers of each flavor as fit on the host, one flavor after the other.

    :param demands: by flavor; at least one
    """
    cache = {} if cache is None else cache
    servers: dict[str, int] = {}
    refusal: Refusal | None = None
    for name, demand in demands.items():
        while not isinstance(after := _add(capacity, name, demand, cache), Refusal):
            capacity = after
            servers[name] = servers.get(name, 0) + 1
        refusal = after
    if refusal is None:
        raise ValueError("no flavor to fill the host with")
    return FilledHost(capacity, servers, refusal)


def fill_best(
    capacity: HostCapacity,
    demands: Mapping[str, ServerDemand],
    left: Callable[[HostCapacity], tuple[int, ...]],
) -> FilledHost:
    """Fill the host in the way that leaves least.

    Each flavor is tried as the first, followed by the others in the order of ``demands``.

    :param left: returns the amounts that a way leaves, the most important one first
    """
    cache: _Cache = {}
    best: tuple[tuple[int, ...], FilledHost] | None = None
    for first, demand in demands.items():
        filled = fill(capacity, {first: demand, **demands}, cache)
        amounts = left(filled.capacity)
        if best is None or amounts < best[0]:
            best = amounts, filled
        if not any(amounts):
            break
    if best is None:
        raise ValueError("no flavor to fill the host with")
    return best[1]


def _add(
    capacity: HostCapacity, name: str, demand: ServerDemand, cache: _Cache
) -> HostCapacity | Refusal:
    key = capacity, name
    if key not in cache:
        fitted = server_fit.fit_server(capacity, demand)
        cache[key] = fitted if isinstance(fitted, Refusal) else fitted.remaining
    return cache[key]
