# SPDX-License-Identifier: Apache-2.0
"""Flavors as the hosts suggest them, before anybody has looked whether a host can boot them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nova_gpu_passthrough.fleet.aliases import Alias, Key
from nova_gpu_passthrough.fleet.flavors import shares, specs
from nova_gpu_passthrough.fleet.flavors.layout import Layout
from nova_gpu_passthrough.fleet.flavors.shares import Share
from nova_gpu_passthrough.fleet.model import FlavorRule
from nova_gpu_passthrough.fleet.settings import Settings
from nova_gpu_passthrough.nova_rules import guest_topology

#: Usual numbers of GPUs of a server.
_COUNTS = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True)
class Draft:
    """A flavor for so many GPUs of one alias."""

    alias: Alias
    count: int
    #: NUMA cells of a server.
    cells: int
    #: 0 where no host tells.
    vcpus: int
    ram_mib: int
    extra_specs: Mapping[str, str]
    #: Hosts that have so many GPUs.
    layouts: tuple[Layout, ...]
    #: What each host could give a cell of the server; hosts that have no room for it are missing.
    shares: Mapping[str, Share]


def counts(rule: FlavorRule, alias: Alias, layouts: Sequence[Layout]) -> tuple[int, ...]:
    """Numbers of GPUs for which there shall be a flavor."""
    if rule.counts is not None:
        return tuple(sorted(rule.counts))
    most = max((len(layout.gpus(alias)) for layout in layouts), default=0)
    return (*(count for count in _COUNTS if count < most), most)


def page_size(text: str) -> int | None:
    """KiB of ``hw:mem_page_size``, or a word of ``topology.guest``."""
    return guest_topology.read(1, 1, {specs.PAGE_SIZE: text}).page_size


def make(
    rule: FlavorRule,
    alias: Alias,
    count: int,
    layouts: Sequence[Layout],
    known: Mapping[Key, Alias],
    settings: Settings,
) -> Draft:
    """The flavor with so many GPUs.

    :param layouts: all hosts that it is for
    """
    enough = tuple(layout for layout in layouts if len(layout.gpus(alias)) >= count)
    pinned = rule.cpu_policy == specs.DEDICATED
    cells = rule.numa_nodes or shares.cells_for(enough, alias, count, pinned)
    made = specs.make(rule, alias, count, cells, enough, known, settings)
    need = shares.Need(
        alias,
        count,
        cells,
        pinned,
        page_size(made[specs.PAGE_SIZE]),
    )
    found = {layout.host: shares.share(layout, need) for layout in enough}
    given = {host: share for host, share in found.items() if share is not None}
    vcpus, ram_mib = (
        shares.vcpus(given.values(), shares.threads(enough)) * cells,
        shares.ram_mib(given.values()) * cells,
    )
    if rule.vcpus_per_gpu is not None:
        vcpus = rule.vcpus_per_gpu * count
    if rule.ram_mib_per_gpu is not None:
        ram_mib = rule.ram_mib_per_gpu * count
    return Draft(
        alias,
        count,
        cells,
        vcpus,
        ram_mib,
        specs.overridden(made, rule.extra_specs),
        enough,
        given,
    )
