# SPDX-License-Identifier: Apache-2.0
"""From the numbers of a saved output to the GPUs of this host."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from nova_gpu_passthrough.host.links import report
from nova_gpu_passthrough.host.links.cliques import components, neighbours
from nova_gpu_passthrough.host.links.tool_output import NO_DEVICE, LinkText
from nova_gpu_passthrough.inventory.findings import Finding
from nova_gpu_passthrough.inventory.pci import PciDevice, Role

Pairs = Mapping[frozenset[str], int]


@dataclass
class Located:
    """What a saved output says of this host's GPUs."""

    source: str
    #: GPUs of which it tells with which others they are joined.
    settled: frozenset[str] = frozenset()
    #: Whether it tells that pair by pair, and not from the far ends of links.
    has_matrix: bool = False
    #: Joined pairs and their links.
    pairs: Pairs = field(default_factory=dict)
    #: GPUs that are joined through NVSwitches.
    switched: frozenset[str] = frozenset()
    #: Module ids of GPUs.
    modules: Mapping[str, int] = field(default_factory=dict)
    #: Numbers of active and of inactive links, by GPU.
    links: Mapping[str, tuple[frozenset[int], frozenset[int]]] = field(default_factory=dict)
    #: Partitions of the fabric manager.
    partitions: tuple[frozenset[int], ...] = ()
    findings: list[Finding] = field(default_factory=list)


def locate(text: LinkText, devices: Iterable[PciDevice]) -> Located:
    """Find the GPUs of a text on a host.

    Without addresses in the text the order of indexes is taken for that of PCI addresses (see
    ``nvidia_smi``). What does not fit the host becomes a finding and is left aside.
    """
    functions = list(devices)
    gpus = sorted(
        device.address
        for device in functions
        if device.role is Role.GPU
        and device.vendor_id == text.vendor_id
        and device.physical_function is None
    )
    switches = {device.address for device in functions if device.role is Role.NVSWITCH}
    found = Located(text.source, partitions=text.partitions)
    found.modules = _modules(text, gpus, found)
    indexes, known = text.indexes, set(gpus)
    if not indexes:
        return found
    addresses = {index: text.addresses[index] for index in indexes & text.addresses.keys()}
    if addresses:
        strange = sorted(set(addresses.values()) - known)
        if strange or len(set(addresses.values())) != len(indexes):
            found.findings.append(report.other_host(text.source, strange, len(indexes), gpus))
            return found
    elif indexes != frozenset(range(len(gpus))):
        found.findings.append(report.other_host(text.source, [], len(indexes), gpus))
        return found
    else:
        addresses = dict(enumerate(gpus))
    pairs = _pairs(text, addresses, known, switches)
    if pairs is None:
        found.findings.append(report.other_far_end(text.source))
        return found
    found.links = {
        addresses[index]: (
            frozenset(number for number, active in states.items() if active),
            frozenset(number for number, active in states.items() if not active),
        )
        for index, states in text.links.items()
    }
    if text.joined is None and not text.remotes:
        return found
    found.pairs = pairs
    found.has_matrix = text.joined is not None
    found.settled = frozenset(
        addresses[index] for index in (text.seen if text.joined is not None else text.remotes)
    )
    found.switched = frozenset(
        addresses[index]
        for index, remotes in text.remotes.items()
        if remotes & switches or NO_DEVICE in remotes
    )
    if not (text.addresses or _any_order_is_the_same(found)):
        found.findings.append(report.order(text.source))
    missing = sorted(known - found.settled)
    if missing:
        found.findings.append(report.partial(text.source, missing))
    return found


def _modules(text: LinkText, gpus: Collection[str], found: Located) -> dict[str, int]:
    if not text.modules:
        return {}
    modules = {gpu: text.modules[gpu] for gpu in gpus if gpu in text.modules}
    if not modules or len(set(modules.values())) != len(modules):
        found.findings.append(report.modules(text.source, len(text.modules)))
        return {}
    return modules


def _pairs(
    text: LinkText, addresses: Mapping[int, str], gpus: Collection[str], switches: Collection[str]
) -> dict[frozenset[str], int] | None:
    """Joined pairs; None if the far ends of links are not on this host."""
    ends = {addresses[index]: remotes for index, remotes in text.remotes.items()}
    if not set().union(*ends.values()) <= {*gpus, *switches, NO_DEVICE}:
        return None
    if any(gpu == end or gpu not in ends.get(end, {gpu}) for gpu in ends for end in ends[gpu]):
        return None
    if text.joined is not None:
        return {
            frozenset((addresses[a], addresses[b])): links for (a, b), links in text.joined.items()
        }
    direct = {frozenset((gpu, end)): 1 for gpu in ends for end in ends[gpu] if end in gpus}
    shared = {
        frozenset((a, b)): 1
        for a in ends
        for b in ends
        if a < b and any(end not in gpus for end in ends[a] & ends[b])
    }
    return {**direct, **shared}


def _any_order_is_the_same(found: Located) -> bool:
    """Whether all GPUs are joined, or none: then it does not matter which is which."""
    joined = neighbours(found.settled, found.pairs)
    groups = [group for group in components(joined) if len(group) > 1]
    complete = len(found.pairs) == len(joined) * (len(joined) - 1) // 2
    return not groups or complete
