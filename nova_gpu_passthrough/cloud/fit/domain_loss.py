# SPDX-License-Identifier: Apache-2.0
"""What remains if a failure domain fails: room for servers, and for those that ran there.

Nova spreads a server group over hosts. It knows no racks, so a group may be in one rack as a whole.
"""

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nova_gpu_passthrough.cloud.fit import free_capacity, server_mix
from nova_gpu_passthrough.cloud.fit.capacity import FlavorCapacity
from nova_gpu_passthrough.cloud.fit.host_judge import HostJudge
from nova_gpu_passthrough.cloud.view.model import CloudHost, CloudView, Server
from nova_gpu_passthrough.errors import UserError, did_you_mean
from nova_gpu_passthrough.fleet import demand, failure_domains
from nova_gpu_passthrough.fleet.demand import FlavorDemand, FlavorError
from nova_gpu_passthrough.nova_rules.filters.model import FilteredServer
from nova_gpu_passthrough.nova_rules.host_capacity import HostCapacity
from nova_gpu_passthrough.nova_rules.server_fit import ServerFit

if TYPE_CHECKING:
    from nova_gpu_passthrough.fleet.resolve import ResolvedFleet

#: So many names are listed in a message.
_MOST_NAMES = 5
#: The level at which each host is a domain.
HOST = "host"


@dataclass(frozen=True)
class DomainLoss:
    """The effect of one domain's failure on one flavor."""

    #: Such as ``rack r1``.
    domain: str
    #: Number of its hosts.
    hosts: int
    #: Further servers that fit in it now.
    lost: int
    #: Further servers that fit on all other hosts.
    remaining: int


@dataclass(frozen=True)
class Restart:
    """The servers with GPUs of a failed domain, and those that fit elsewhere at the same time."""

    domain: str
    servers: tuple[Server, ...]
    fitting: tuple[Server, ...]

    def __str__(self) -> str:
        """Return a sentence."""
        if not self.servers:
            return f"{self.domain}: no servers with GPUs are there"
        text = f"{self.domain}: {len(self.fitting)} of {len(self.servers)} servers with GPUs"
        left = [one for one in self.servers if one not in self.fitting]
        if not left:
            return f"{text} would fit on the other hosts"
        names = ", ".join(f"{one.name} ({one.flavor})" for one in left[:_MOST_NAMES])
        more = f" and {len(left) - _MOST_NAMES} more" if left[_MOST_NAMES:] else ""
        return f"{text} would fit on the other hosts, without {names}{more}"


def levels(view: CloudView) -> list[str]:
    """Return the levels of failure domains, racks first and hosts last."""
    return [*failure_domains.levels(host.domains for host in view.hosts), HOST]


def domain_of(host: CloudHost, level: str) -> str | None:
    """Return the name of a host's domain; None if the fleet file does not say it."""
    return host.name if level == HOST else host.domains.get(level)


def check_level(view: CloudView, level: str) -> None:
    """Check that hosts have such domains.

    :raises UserError: if no host has any
    """
    if not any(domain_of(host, level) for host in view.hosts):
        expected = ", ".join(levels(view))
        raise UserError(
            f"--by-domain {level}: no host has a {level} in the fleet file, expected one of: "
            f"{expected}{did_you_mean(level, levels(view))}"
        )


def find(view: CloudView, words: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the hosts of domains such as ``rack=r1``, by the domain.

    :raises UserError: if a word is invalid or no host is in the domain
    """
    found: dict[str, tuple[str, ...]] = {}
    for word in words:
        level, equals, name = word.partition("=")
        if not (level and equals and name):
            raise UserError(f"--without {word}: expected LEVEL=NAME, such as rack=r1 or host=gpu01")
        hosts = tuple(host.name for host in view.hosts if domain_of(host, level) == name)
        if not hosts:
            names = sorted({domain_of(host, level) or "" for host in view.hosts} - {""})
            expected = ", ".join(names[:_MOST_NAMES]) + (", ..." if names[_MOST_NAMES:] else "")
            if not names:
                expected = f"a level of the fleet file: {', '.join(levels(view))}"
            raise UserError(
                f"--without {word}: no host is in {level} {name}, expected {expected}"
                f"{did_you_mean(name, names)}"
            )
        found[f"{level} {name}"] = hosts
    return found


def losses(flavor: FlavorCapacity, hosts: Iterable[CloudHost], level: str) -> list[DomainLoss]:
    """Return the effect of each domain's failure, the one that costs most first."""
    members: dict[str, list[str]] = {}
    for host in hosts:
        name = domain_of(host, level)
        if name is not None:
            members.setdefault(name, []).append(host.name)
    found = []
    for name, inside in members.items():
        lost = sum(flavor.by_host.get(host, 0) for host in inside)
        found.append(DomainLoss(f"{level} {name}", len(inside), lost, flavor.servers - lost))
    return sorted(found, key=lambda one: (one.remaining, one.domain))


def warnings(
    flavors: Iterable[FlavorCapacity], hosts: Sequence[CloudHost], level: str
) -> Iterator[str]:
    """Yield a sentence for each flavor whose servers all fit in one domain only."""
    for flavor in flavors:
        found = losses(flavor, hosts, level)
        if flavor.hosts > 1 and found and not found[0].remaining:
            yield (
                f"flavor {flavor.flavor}: all {flavor.servers} servers that fit are in "
                f"{found[0].domain}, so a server group of policy anti-affinity would fail with it"
            )


def restart(
    view: CloudView, resolved: "ResolvedFleet", domain: str, failed: Collection[str]
) -> Restart:
    """Find out which servers with GPUs of a failed domain fit on the other hosts.

    The largest come first, each on the host with the fewest free GPUs that takes it.

    :param failed: names of the hosts
    """
    needed = sorted(
        _demands(view, resolved, failed),
        key=lambda one: (-one[1].gpus, -one[0].vcpus, one[0].name, one[0].id),
    )
    others = [host for host in view.hosts if host.name not in failed]
    free = {host.name: free_capacity.of_host(host) for host in others}
    judges: dict[tuple[object, ...], HostJudge] = {}
    fitting = []
    for server, flavor_demand in needed:
        key = (server.flavor, tuple(sorted(server.extra_specs.items())), server.project_id)
        if key not in judges:
            filtered = FilteredServer(
                server.flavor,
                server.extra_specs,
                frozenset((server.project_id,)),
                server.id,
                None,
                server.image_properties,
            )
            judges[key] = HostJudge(resolved, view.aggregates, flavor_demand, filtered)
        fits = [
            (host.name, fitted.remaining)
            for host in others
            if isinstance(fitted := judges[key].judge(host, free[host.name]), ServerFit)
        ]
        if fits:
            name, remaining = min(fits, key=lambda one: (_free_devices(one[1]), one[0]))
            free[name] = remaining
            fitting.append(server)
    return Restart(domain, tuple(server for server, _ in needed), tuple(fitting))


def without(view: CloudView, failed: Collection[str]) -> CloudView:
    """Return the cloud without some hosts."""
    return dataclasses.replace(
        view, hosts=tuple(host for host in view.hosts if host.name not in failed)
    )


def _demands(
    view: CloudView, resolved: "ResolvedFleet", hosts: Collection[str]
) -> Iterator[tuple[Server, FlavorDemand]]:
    aliases = demand.by_name(resolved.aliases.values())
    disks = server_mix.disks(view)
    for host in view.hosts:
        for server in host.servers if host.name in hosts else ():
            if demand.requests_gpus(server.extra_specs, aliases):
                size = server_mix.server_size(server, disks)
                try:
                    yield server, demand.read(size, server.extra_specs, aliases)
                except FlavorError:
                    continue


def _free_devices(capacity: HostCapacity) -> int:
    return sum(device.free for device in capacity.devices)
