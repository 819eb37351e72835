# SPDX-License-Identifier: Apache-2.0
"""The extra specs of a GPU flavor."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from nova_gpu_passthrough.fleet.aliases import Alias, AliasMap
from nova_gpu_passthrough.fleet.flavors import host_layout
from nova_gpu_passthrough.fleet.flavors.host_layout import HostLayout
from nova_gpu_passthrough.fleet.model import FlavorRule
from nova_gpu_passthrough.fleet.offers import OfferedDevice
from nova_gpu_passthrough.fleet.settings import Settings
from nova_gpu_passthrough.nova_rules import alias_string

CPU_POLICY = "hw:cpu_policy"
THREAD_POLICY = "hw:cpu_thread_policy"
NUMA_NODES = "hw:numa_nodes"
PAGE_SIZE = "hw:mem_page_size"
AFFINITY = "hw:pci_numa_affinity_policy"
LINK = "gpu:link"
DEDICATED = "dedicated"
#: Consumer cards, whose older drivers refuse to work (code 43) in a guest that sees its hypervisor.
_CONSUMER = re.compile(r"geforce|titan|\b(gtx|rtx)[ -]?\d{3,4}\b", re.IGNORECASE)
_WORKSTATION = re.compile(r"\b(quadro|pro|ada|generation)\b", re.IGNORECASE)


def make(
    rule: FlavorRule,
    alias: Alias,
    count: int,
    cells: int,
    layouts: Sequence[HostLayout],
    aliases: AliasMap,
    settings: Settings,
) -> dict[str, str]:
    """Make the extra specs of a flavor, without the rule's own.

    :param count: GPUs of a server
    :param cells: NUMA cells of a server
    :param layouts: hosts that have so many GPUs of the alias
    """
    requested = {alias.name: count}
    for other in aliases.values():
        companion = other.model == alias.model and other.is_companion
        if companion and all(_every_gpu_has(other, alias, layout) for layout in layouts):
            requested[other.name] = count
    specs = {
        alias_string.EXTRA_SPEC: alias_string.to_text(requested.items()),
        NUMA_NODES: str(cells),
        AFFINITY: _affinity(alias, layouts),
        PAGE_SIZE: "1GB" if settings.hugepages else "small",
        **rule.own_extra_specs(),
    }
    if count > 1 and layouts and all(are_linked(layout.gpus(alias), count) for layout in layouts):
        specs[LINK] = "required"
    if any(host_layout.needs_wide_addresses(layout.offer) for layout in layouts):
        specs[host_layout.MAXPHYSADDR_MODE] = host_layout.PASSTHROUGH
    gpus = [gpu for layout in layouts for gpu in layout.gpus(alias)]
    if any(hides_hypervisor(gpu.model, gpu.device.name) for gpu in gpus):
        specs["hw:hide_hypervisor_id"] = "true"
    return specs


def override(specs: Mapping[str, str], changes: Mapping[str, str]) -> dict[str, str]:
    """Override extra specs; an empty value removes one."""
    return {key: value for key, value in {**specs, **changes}.items() if value}


def hides_hypervisor(model: str, name: str | None) -> bool:
    """Check whether the hypervisor has to be hidden from the card's driver: consumer cards."""
    text = f"{model} {name or ''}"
    return bool(_CONSUMER.search(text)) and not _WORKSTATION.search(text)


def are_linked(gpus: Iterable[OfferedDevice], count: int) -> bool:
    """Check whether one link group has so many GPUs."""
    sizes = Counter(
        gpu.gpu.link_group[0] for gpu in gpus if gpu.gpu is not None and gpu.gpu.link_group
    )
    return any(size >= count for size in sizes.values())


def _every_gpu_has(companion: Alias, alias: Alias, layout: HostLayout) -> bool:
    """Check whether every GPU has such a companion, so that a flavor can request it."""
    cards = {
        other.gpu.card for other in layout.devices.get(companion.name, ()) if other.gpu is not None
    }
    return all(gpu.gpu is None or gpu.gpu.card in cards for gpu in layout.gpus(alias))


def _affinity(alias: Alias, layouts: Iterable[HostLayout]) -> str:
    nodes = {
        (layout.host, gpu.device.numa_node) for layout in layouts for gpu in layout.gpus(alias)
    }
    with_cpus = {(layout.host, node.cell.id) for layout in layouts for node in layout.nodes}
    if any(node is None for _, node in nodes):
        # With another policy, Nova refuses a device without a NUMA node.
        return "legacy"
    if nodes - with_cpus and any(layout.nodes for layout in layouts):
        # The GPU's node has no CPUs, so no guest can be on it.
        return "preferred"
    return "required" if alias.numa_policy == "legacy" else alias.numa_policy
