# SPDX-License-Identifier: Apache-2.0
"""What flavors and images need, as a YAML table for whoever makes them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nova_gpu_passthrough.files import documents
from nova_gpu_passthrough.generate import cpu_sets, memory
from nova_gpu_passthrough.generate.aliases import Alias, Key, key_of
from nova_gpu_passthrough.generate.selection import Kind, Offer, Offered
from nova_gpu_passthrough.generate.settings import Settings
from nova_gpu_passthrough.topology.address_space import GuestPlatform, most_ram_gib

#: Consumer cards, whose older drivers refuse to work (code 43) in a guest that sees its hypervisor.
_CONSUMER = re.compile(r"geforce|titan|\b(gtx|rtx)[ -]?\d{3,4}\b", re.IGNORECASE)
_WORKSTATION = re.compile(r"\b(quadro|pro|ada|generation)\b", re.IGNORECASE)

HEADING = """\
What flavors and images for the GPUs of this cloud need. Nothing here is applied by itself.

vcpus and ram_mib: the most with which all GPUs of a host can be used at the same time.

most_ram_mib, where it is less: with more, a guest's address space does not hold the BARs of its
GPUs, so it boots and misses some. 0: they do not fit whatever the memory.

Instead of hw:pci_numa_affinity_policy an image may have hw_pci_numa_affinity_policy; where both are
set, they must be equal.
"""


def table(offers: Sequence[Offer], known: Mapping[Key, Alias], settings: Settings) -> str:
    """The table's text."""
    gpus = [
        _gpu(alias, offers, known, settings) for alias in known.values() if alias.kind is Kind.GPU
    ]
    others = [
        {"alias": alias.name, "resource_class": alias.resource_class}
        for alias in known.values()
        if alias.kind is Kind.NIC
    ]
    document = {"gpus": gpus} | ({"nics": others} if others else {})
    return documents.dump(document)


def needs_wide_addresses(offer: Offer) -> bool:
    """Whether a guest with all GPUs of one model and all memory needs more than QEMU's 40 bits."""
    host_gib = offer.inventory.memory_gib
    for bars in _bars_by_model(offer).values():
        if most_ram_gib(bars, _platform(offer, passthrough=False), host_gib) != host_gib:
            return True
    return False


def hides_hypervisor(model: str, name: str | None) -> bool:
    """Whether a card is sold to consumers."""
    text = f"{model} {name or ''}"
    return bool(_CONSUMER.search(text)) and not _WORKSTATION.search(text)


def _gpu(
    alias: Alias, offers: Sequence[Offer], known: Mapping[Key, Alias], settings: Settings
) -> dict[str, Any]:
    mine = {
        offer.host: gpus
        for offer in offers
        if (gpus := [gpu for gpu in offer.gpus if known[key_of(gpu)] is alias])
    }
    hosts = [offer for offer in offers if offer.host in mine]
    device = mine[hosts[0].host][0].device
    hidden = hides_hypervisor(alias.model, device.name)
    wide = any(needs_wide_addresses(offer) for offer in hosts)
    properties: dict[str, Any] = {"hw_firmware_type": "uefi"}
    if hosts[0].inventory.cpu.vendor in ("intel", "amd"):
        properties = {"hw_machine_type": "q35", **properties}
    if hidden:
        properties["img_hide_hypervisor_id"] = "true"
    most = max(len(gpus) for gpus in mine.values())
    counts = [count for count in (1, 2, 4, 8, 16, 32) if count < most] + [most]
    return {
        "alias": alias.name,
        "model": alias.model,
        "resource_class": alias.resource_class,
        "hosts": {host: len(gpus) for host, gpus in mine.items()},
        "image_properties": properties,
        "flavors": [
            _flavor(
                alias,
                count,
                [(offer, mine[offer.host]) for offer in hosts if len(mine[offer.host]) >= count],
                known,
                settings,
                hidden,
                wide,
            )
            for count in counts
        ],
    }


def _flavor(
    alias: Alias,
    count: int,
    hosts: Sequence[tuple[Offer, list[Offered]]],
    known: Mapping[Key, Alias],
    settings: Settings,
    hidden: bool,
    wide: bool,
) -> dict[str, Any]:
    wanted = {alias.name: count}
    for other in known.values():
        companion = other.model == alias.model and other.kind not in (Kind.GPU, Kind.NIC)
        if companion and _goes_along(other, hosts, known):
            wanted[other.name] = count
    nodes = max(_nodes(gpus, count) for _, gpus in hosts)
    specs = {
        "pci_passthrough:alias": ",".join(f"{name}:{number}" for name, number in wanted.items()),
        "hw:cpu_policy": "dedicated",
        "hw:numa_nodes": str(nodes),
        "hw:pci_numa_affinity_policy": "required"
        if settings.numa_policy == "legacy"
        else (settings.numa_policy),
        "hw:mem_page_size": "1GB" if settings.hugepages else "small",
    }
    if any(gpu.device.numa_node is None for _, gpus in hosts for gpu in gpus):
        # A device without a node would be refused.
        specs["hw:pci_numa_affinity_policy"] = "legacy"
    if count > 1 and all(_linked(gpus, count) for _, gpus in hosts):
        specs["gpu:link"] = "required"
    if wide:
        specs["hw:maxphysaddr_mode"] = "passthrough"
    if hidden:
        specs["hw:hide_hypervisor_id"] = "true"
    flavor: dict[str, Any] = {"gpus": count}
    flavor |= _sizes(count, nodes, hosts, settings)
    space = [_most_ram_mib(offer, gpus, count, wide) for offer, gpus in hosts]
    if (least := min(space)) < flavor.get("ram_mib", 0):
        flavor["most_ram_mib"] = least
    flavor["extra_specs"] = specs
    return flavor


def _goes_along(
    companion: Alias, hosts: Iterable[tuple[Offer, list[Offered]]], known: Mapping[Key, Alias]
) -> bool:
    """Whether every GPU has such a companion, so that a flavor can ask for it."""
    for offer, gpus in hosts:
        cards = {
            other.gpu.card
            for other in offer.devices
            if other.gpu is not None and known[key_of(other)] is companion
        }
        if any(gpu.gpu is not None and gpu.gpu.card not in cards for gpu in gpus):
            return False
    return True


def _nodes(gpus: Iterable[Offered], count: int) -> int:
    """The fewest NUMA nodes that have so many GPUs."""
    sizes: dict[int | None, int] = {}
    for gpu in gpus:
        sizes[gpu.device.numa_node] = sizes.get(gpu.device.numa_node, 0) + 1
    taken = 0
    for number, size in enumerate(sorted(sizes.values(), reverse=True), start=1):
        taken += size
        if taken >= count:
            # Nova wants as many vCPUs and as much memory on each.
            return number
    return 1


def _linked(gpus: Iterable[Offered], count: int) -> bool:
    sizes: dict[str, int] = {}
    for gpu in gpus:
        if gpu.gpu is not None and gpu.gpu.link_group:
            sizes[gpu.gpu.link_group[0]] = sizes.get(gpu.gpu.link_group[0], 0) + 1
    return any(size >= count for size in sizes.values())


def _sizes(
    count: int, nodes: int, hosts: Iterable[tuple[Offer, list[Offered]]], settings: Settings
) -> dict[str, int]:
    """How many vCPUs and MiB a server may have so that all GPUs of a host can be used."""
    vcpus, ram = [], []
    for offer, gpus in hosts:
        share = count / len(gpus)
        sets = cpu_sets.propose(offer, settings.host_cores)
        if sets is not None:
            vcpus.append(int(_least(sets.dedicated_by_node, gpus, len) * count))
            vcpus.append(int(len(sets.dedicated) * share))
        plan = memory.plan(offer, settings.reserved_host_memory_mb, settings.hugepages)
        if plan is not None:
            ram.append(int((plan.total_mib - plan.reserved_mib) * share))
    result = {}
    # Whole cores of two threads on each node, whole GiB on each node.
    if vcpus and (least := min(vcpus) // (2 * nodes) * 2 * nodes) > 0:
        result["vcpus"] = least
    if ram and (least := min(ram) // (1024 * nodes) * 1024 * nodes) > 0:
        result["ram_mib"] = least
    return result


def _least(by_node: Mapping[int, Any], gpus: Iterable[Offered], size: Any) -> float:
    """CPUs per GPU on the node where they are scarcest."""
    counts: dict[int, int] = {}
    for gpu in gpus:
        node = gpu.device.numa_node
        if node is not None and node in by_node:
            counts[node] = counts.get(node, 0) + 1
    shares = [size(by_node[node]) / count for node, count in counts.items()]
    return min(shares, default=float(sum(size(cpus) for cpus in by_node.values())))


def _most_ram_mib(offer: Offer, gpus: Sequence[Offered], count: int, passthrough: bool) -> int:
    bars = [gpu.device.high_bars for gpu in gpus]
    most = most_ram_gib(bars, _platform(offer, passthrough), offer.inventory.memory_gib, count)
    return (most or 0) * 1024


def _platform(offer: Offer, passthrough: bool) -> GuestPlatform:
    cpu = offer.inventory.cpu
    return GuestPlatform.of_host(cpu.physical_address_bits, cpu.vendor, passthrough)


def _bars_by_model(offer: Offer) -> dict[str, list[tuple[int, ...]]]:
    bars: dict[str, list[tuple[int, ...]]] = {}
    for gpu in offer.gpus:
        if high := gpu.device.high_bars:
            bars.setdefault(gpu.model, []).append(high)
    return bars
