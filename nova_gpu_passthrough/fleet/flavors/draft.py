# SPDX-License-Identifier: Apache-2.0
"""Drafts of flavors: their size and extra specs by the hosts, before any check of feasibility."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nova_gpu_passthrough.fleet.aliases import Alias, AliasMap
from nova_gpu_passthrough.fleet.flavors import shares, specs
from nova_gpu_passthrough.fleet.flavors.host_layout import HostLayout
from nova_gpu_passthrough.fleet.flavors.shares import CellShare, ServerShape
from nova_gpu_passthrough.fleet.model import FlavorRule
from nova_gpu_passthrough.fleet.settings import Settings
from nova_gpu_passthrough.nova_rules import guest_topology

#: The default numbers of GPUs of a server.
_COUNTS = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True)
class FlavorDraft:
    """A flavor with a number of GPUs of one alias."""

    alias: Alias
    #: GPUs of a server.
    count: int
    #: NUMA cells of a server.
    cells: int
    #: 0 if no host determines it.
    vcpus: int
    ram_mib: int
    extra_specs: Mapping[str, str]
    #: Hosts that have so many GPUs.
    layouts: tuple[HostLayout, ...]
    #: The share of a cell of the server, by host; without hosts that have no NUMA nodes for it.
    shares: Mapping[str, CellShare]


def counts(rule: FlavorRule, alias: Alias, layouts: Sequence[HostLayout]) -> tuple[int, ...]:
    """Return the numbers of GPUs of the rule's flavors."""
    if rule.counts is not None:
        return tuple(sorted(rule.counts))
    most = max((len(layout.gpus(alias)) for layout in layouts), default=0)
    return (*(count for count in _COUNTS if count < most), most)


def page_size(text: str) -> int | None:
    """Parse ``hw:mem_page_size``: KiB, or a constant of ``guest_topology``."""
    return guest_topology.from_flavor(1, 1, {specs.PAGE_SIZE: text}).page_size


def make(
    rule: FlavorRule,
    alias: Alias,
    count: int,
    layouts: Sequence[HostLayout],
    aliases: AliasMap,
    settings: Settings,
) -> FlavorDraft:
    """Make the draft with a number of GPUs.

    :param layouts: all hosts that the rule applies to
    """
    enough = tuple(layout for layout in layouts if len(layout.gpus(alias)) >= count)
    pinned = rule.cpu_policy == specs.DEDICATED
    cells = rule.numa_nodes or shares.cell_count(enough, alias, count, pinned)
    extra_specs = specs.make(rule, alias, count, cells, enough, aliases, settings)
    shape = ServerShape(alias, count, cells, pinned, page_size(extra_specs[specs.PAGE_SIZE]))
    by_host = {}
    for layout in enough:
        share = shares.cell_share(layout, shape)
        if share is not None:
            by_host[layout.host] = share
    vcpus = shares.vcpus(by_host.values(), shares.threads_per_core(enough)) * cells
    ram_mib = shares.ram_mib(by_host.values()) * cells
    if rule.vcpus_per_gpu is not None:
        vcpus = rule.vcpus_per_gpu * count
    if rule.ram_mib_per_gpu is not None:
        ram_mib = rule.ram_mib_per_gpu * count
    return FlavorDraft(
        alias,
        count,
        cells,
        vcpus,
        ram_mib,
        specs.override(extra_specs, rule.extra_specs),
        enough,
        by_host,
    )
