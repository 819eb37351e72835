# SPDX-License-Identifier: Apache-2.0
"""Check whether empty hosts can boot a flavor, by the rules of Placement, the filter and Nova."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nova_gpu_passthrough.fleet.aliases import Alias, AliasMap
from nova_gpu_passthrough.fleet.desired_state import Flavor
from nova_gpu_passthrough.fleet.flavors import empty_host, host_layout
from nova_gpu_passthrough.fleet.flavors.empty_host import EmptyHost
from nova_gpu_passthrough.fleet.flavors.host_layout import HostLayout
from nova_gpu_passthrough.fleet.references import gpu_aliases, requested_devices
from nova_gpu_passthrough.nova_rules import server_fit
from nova_gpu_passthrough.nova_rules.host_capacity import HostCapacity
from nova_gpu_passthrough.nova_rules.refusal import Refusal

#: The number of hosts that a sentence names.
_NAMED_HOSTS = 3


class Feasibility(NamedTuple):
    """The hosts that can boot a flavor, and the reasons of the others."""

    hosts: tuple[str, ...]
    #: Why a host cannot boot the flavor, by host; empty if Nova refuses the flavor on every host.
    reasons: Mapping[str, str]
    #: Why Nova or nova-api refuses the flavor on every host.
    invalid: str = ""

    def __str__(self) -> str:
        """Return why hosts cannot boot the flavor."""
        if self.invalid:
            return self.invalid
        by_reason: dict[str, list[str]] = {}
        for host, reason in self.reasons.items():
            by_reason.setdefault(reason, []).append(host)
        return "; ".join(f"{join_hosts(hosts)}: {reason}" for reason, hosts in by_reason.items())


def check(flavor: Flavor, hosts: Sequence[EmptyHost], aliases: AliasMap) -> Feasibility:
    """Check which of the hosts can boot a flavor."""
    try:
        demand = empty_host.server_demand(flavor, aliases)
    except ValueError as error:
        return Feasibility((), {}, str(error))
    fitting, reasons = [], {}
    refusals: dict[HostCapacity, str] = {}
    for host in hosts:
        if host.capacity not in refusals:
            fit = server_fit.fit_server(host.capacity, demand)
            refusals[host.capacity] = _sentence(fit) if isinstance(fit, Refusal) else ""
        reason = refusals[host.capacity] or _address_space_shortage(flavor, host.layout, aliases)
        if reason:
            reasons[host.layout.host] = reason
        else:
            fitting.append(host.layout.host)
    return Feasibility(tuple(fitting), reasons)


def requested_gpus(extra_specs: Mapping[str, str], aliases: AliasMap) -> dict[Alias, int]:
    """Return how many GPUs of each alias a flavor requests.

    :raises ValueError: if Nova refuses the aliases of the flavor
    """
    gpus = gpu_aliases(aliases)
    requested = requested_devices(extra_specs)
    return {gpus[name]: count for name, count in requested.items() if name in gpus}


def join_hosts(hosts: Sequence[str]) -> str:
    """Join the names of hosts, such as "a, b, c and 2 more"."""
    more = len(hosts) - _NAMED_HOSTS
    return ", ".join(hosts[:_NAMED_HOSTS]) + (f" and {more} more" if more > 0 else "")


def _sentence(refusal: Refusal) -> str:
    return refusal.text


def _address_space_shortage(flavor: Flavor, layout: HostLayout, aliases: AliasMap) -> str:
    """Return why a guest does not get all its GPUs on a host; an empty string if it does."""
    for alias, count in requested_gpus(flavor.extra_specs, aliases).items():
        most = layout.max_guest_ram_mib(alias, count, flavor.extra_specs)
        if most >= min(flavor.ram_mib, layout.offer.inventory.memory_gib * 1024):
            continue
        bits = host_layout.guest_platform(layout.offer, flavor.extra_specs).usable_bits
        shortage = f"the guest's {bits} bits of address space do not hold the BARs of {count} GPUs"
        if not most:
            return f"{shortage}, however little memory it has"
        return f"{shortage} and {flavor.ram_mib} MiB of memory, {most} MiB is the maximum"
    return ""
