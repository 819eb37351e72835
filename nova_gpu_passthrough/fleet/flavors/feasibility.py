# SPDX-License-Identifier: Apache-2.0
"""Whether an empty host can boot a flavor; decided by the rules of Placement, filter and Nova."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nova_gpu_passthrough.fleet.aliases import Alias, Key
from nova_gpu_passthrough.fleet.desired import Flavor
from nova_gpu_passthrough.fleet.flavors import address_space, capacity
from nova_gpu_passthrough.fleet.flavors.layout import Layout
from nova_gpu_passthrough.fleet.references import PCI_ALIAS, gpu_aliases, parse_aliases
from nova_gpu_passthrough.nova_rules import emulate_placement
from nova_gpu_passthrough.nova_rules.host_capacity import Room
from nova_gpu_passthrough.nova_rules.why_not import Refused

#: How many hosts a sentence names.
_NAMED = 3


class Host(NamedTuple):
    """A host that a flavor is for, empty."""

    layout: Layout
    room: Room


class Answer(NamedTuple):
    """Which hosts can boot a flavor, and why others cannot."""

    hosts: tuple[str, ...]
    #: By host; empty with a flavor that Nova itself refuses.
    reasons: Mapping[str, str]
    #: Why Nova or nova-api refuses the flavor, whatever the host.
    invalid: str = ""

    def __str__(self) -> str:
        """Why none can."""
        if self.invalid:
            return self.invalid
        by_reason: dict[str, list[str]] = {}
        for host, reason in self.reasons.items():
            by_reason.setdefault(reason, []).append(host)
        return "; ".join(f"{named(hosts)}: {reason}" for reason, hosts in by_reason.items())


def ask(flavor: Flavor, hosts: Sequence[Host], known: Mapping[Key, Alias]) -> Answer:
    """Ask each host."""
    try:
        needs = capacity.needs(flavor, known)
    except ValueError as error:
        return Answer((), {}, str(error))
    fits, reasons = [], {}
    answers: dict[Room, str] = {}
    for host in hosts:
        if host.room not in answers:
            answer = emulate_placement.place(host.room, needs)
            answers[host.room] = _sentence(answer) if isinstance(answer, Refused) else ""
        reason = answers[host.room] or _no_space(flavor, host.layout, known)
        if reason:
            reasons[host.layout.host] = reason
        else:
            fits.append(host.layout.host)
    return Answer(tuple(fits), reasons)


def gpus_asked(extra_specs: Mapping[str, str], known: Mapping[Key, Alias]) -> dict[Alias, int]:
    """How many GPUs of which alias a flavor asks for.

    :raises ValueError: if Nova could not read it
    """
    gpus = gpu_aliases(known)
    asked = parse_aliases(extra_specs.get(PCI_ALIAS, ""))
    return {gpus[name]: count for name, count in asked.items() if name in gpus}


def named(hosts: Sequence[str]) -> str:
    """Some hosts, in few words."""
    more = len(hosts) - _NAMED
    return ", ".join(hosts[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _sentence(refused: Refused) -> str:
    return f"{refused.constraint}: {refused.detail}" if refused.reason else refused.detail


def _no_space(flavor: Flavor, layout: Layout, known: Mapping[Key, Alias]) -> str:
    """Why a guest there misses GPUs; empty if it does not."""
    for alias, count in gpus_asked(flavor.extra_specs, known).items():
        most = address_space.most_ram_mib(
            layout.offer, layout.gpus(alias), count, flavor.extra_specs
        )
        if most >= min(flavor.ram_mib, layout.offer.inventory.memory_gib * 1024):
            continue
        bits = address_space.platform(layout.offer, flavor.extra_specs).usable_bits
        what = f"the guest's {bits} bits of address space do not hold the BARs of {count} GPUs"
        if not most:
            return f"{what}, however little memory it has"
        return f"{what} beside {flavor.ram_mib} MiB of memory, {most} MiB are the most"
    return ""
