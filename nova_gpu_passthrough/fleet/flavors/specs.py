# SPDX-License-Identifier: Apache-2.0
"""Extra specs of a GPU flavor."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from nova_gpu_passthrough.fleet.aliases import Alias, Key
from nova_gpu_passthrough.fleet.flavors import address_space
from nova_gpu_passthrough.fleet.flavors.layout import Layout
from nova_gpu_passthrough.fleet.model import FlavorRule
from nova_gpu_passthrough.fleet.offers import Kind, Offered
from nova_gpu_passthrough.fleet.references import PCI_ALIAS
from nova_gpu_passthrough.fleet.settings import Settings

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
    layouts: Sequence[Layout],
    known: Mapping[Key, Alias],
    settings: Settings,
) -> dict[str, str]:
    """What a flavor with so many GPUs and NUMA cells needs, before the rule's own extra specs.

    :param layouts: hosts that have so many GPUs of the alias
    """
    wanted = {alias.name: count}
    for other in known.values():
        companion = other.model == alias.model and other.kind not in (Kind.GPU, Kind.NIC)
        if companion and all(_goes_along(other, alias, layout) for layout in layouts):
            wanted[other.name] = count
    specs = {
        PCI_ALIAS: ",".join(f"{name}:{number}" for name, number in wanted.items()),
        CPU_POLICY: rule.cpu_policy,
        NUMA_NODES: str(cells),
        AFFINITY: _affinity(alias, layouts),
        PAGE_SIZE: rule.page_size or ("1GB" if settings.hugepages else "small"),
    }
    if count > 1 and layouts and all(linked(layout.gpus(alias), count) for layout in layouts):
        specs[LINK] = "required"
    if any(address_space.needs_wide_addresses(layout.offer) for layout in layouts):
        specs[address_space.MODE] = address_space.PASSTHROUGH
    gpus = [gpu for layout in layouts for gpu in layout.gpus(alias)]
    if any(hides_hypervisor(gpu.model, gpu.device.name) for gpu in gpus):
        specs["hw:hide_hypervisor_id"] = "true"
    return specs


def overridden(specs: Mapping[str, str], changes: Mapping[str, str]) -> dict[str, str]:
    """Extra specs with an operator's own; an empty text takes one out."""
    return {key: value for key, value in {**specs, **changes}.items() if value}


def hides_hypervisor(model: str, name: str | None) -> bool:
    """Whether a card is sold to consumers."""
    text = f"{model} {name or ''}"
    return bool(_CONSUMER.search(text)) and not _WORKSTATION.search(text)


def linked(gpus: Iterable[Offered], count: int) -> bool:
    """Whether so many GPUs are in one link group."""
    sizes = Counter(
        gpu.gpu.link_group[0] for gpu in gpus if gpu.gpu is not None and gpu.gpu.link_group
    )
    return any(size >= count for size in sizes.values())


def _goes_along(companion: Alias, alias: Alias, layout: Layout) -> bool:
    """Whether every GPU has such a companion, so that a flavor can ask for it."""
    cards = {
        other.gpu.card for other in layout.devices.get(companion.name, ()) if other.gpu is not None
    }
    return all(gpu.gpu is None or gpu.gpu.card in cards for gpu in layout.gpus(alias))


def _affinity(alias: Alias, layouts: Iterable[Layout]) -> str:
    nodes = {
        (layout.host, gpu.device.numa_node) for layout in layouts for gpu in layout.gpus(alias)
    }
    with_cpus = {(layout.host, node.cell.id) for layout in layouts for node in layout.nodes}
    if any(node is None for _, node in nodes):
        # A device without a node would be refused.
        return "legacy"
    if nodes - with_cpus and any(layout.nodes for layout in layouts):
        # No guest can be on a node without CPUs, beside the GPU.
        return "preferred"
    return "required" if alias.numa_policy == "legacy" else alias.numa_policy
