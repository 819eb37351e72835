# SPDX-License-Identifier: Apache-2.0
"""Map the GPU indexes in a tool's output to the PCI addresses of this host."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from nova_gpu_passthrough.host.links import fabric_findings
from nova_gpu_passthrough.host.links.cliques import components, neighbours
from nova_gpu_passthrough.host.links.tool_output import NO_DEVICE, ToolOutput
from nova_gpu_passthrough.inventory.findings import Finding
from nova_gpu_passthrough.inventory.pci import PciDevice, Role

#: The number of links of each joined pair of GPUs.
Pairs = Mapping[frozenset[str], int]


@dataclass
class ResolvedOutput:
    """What a saved output reports about this host's GPUs, by PCI address."""

    source: str
    #: GPUs whose links to other GPUs the output reports.
    covered: frozenset[str] = frozenset()
    #: Whether the output has a matrix of pairs, and not only the far ends of links.
    has_matrix: bool = False
    #: Joined pairs and the number of their links.
    pairs: Pairs = field(default_factory=dict)
    #: GPUs that are joined through NVSwitches.
    switched: frozenset[str] = frozenset()
    #: Module ids of GPUs.
    modules: Mapping[str, int] = field(default_factory=dict)
    #: Numbers of the active and of the inactive links of each GPU.
    links: Mapping[str, tuple[frozenset[int], frozenset[int]]] = field(default_factory=dict)
    #: Module ids of every partition of the fabric manager.
    partitions: tuple[frozenset[int], ...] = ()
    findings: list[Finding] = field(default_factory=list)


def resolve(output: ToolOutput, devices: Iterable[PciDevice]) -> ResolvedOutput:
    """Find the GPUs of a tool's output on a host.

    If the output has no addresses, its indexes are assumed to follow the order of PCI addresses
    (see ``nvidia_smi``). Data that does not fit the host is dropped and reported as a finding.
    """
    functions = list(devices)
    gpus = sorted(
        device.address
        for device in functions
        if device.role is Role.GPU
        and device.vendor_id == output.vendor_id
        and device.physical_function is None
    )
    switches = {device.address for device in functions if device.role is Role.NVSWITCH}
    result = ResolvedOutput(output.source, partitions=output.partitions)
    result.modules = _modules(output, gpus, result)
    indexes, known = output.indexes, set(gpus)
    if not indexes:
        return result
    addresses = {index: output.addresses[index] for index in indexes & output.addresses.keys()}
    if addresses:
        unknown = sorted(set(addresses.values()) - known)
        if unknown or len(set(addresses.values())) != len(indexes):
            result.findings.append(
                fabric_findings.other_host(output.source, unknown, len(indexes), gpus)
            )
            return result
    elif indexes != frozenset(range(len(gpus))):
        result.findings.append(fabric_findings.other_host(output.source, [], len(indexes), gpus))
        return result
    else:
        addresses = dict(enumerate(gpus))
    pairs = _pairs(output, addresses, known, switches)
    if pairs is None:
        result.findings.append(fabric_findings.other_far_end(output.source))
        return result
    result.links = {
        addresses[index]: (
            frozenset(number for number, active in states.items() if active),
            frozenset(number for number, active in states.items() if not active),
        )
        for index, states in output.links.items()
    }
    if output.joined is None and not output.remotes:
        return result
    result.pairs = pairs
    result.has_matrix = output.joined is not None
    result.covered = frozenset(
        addresses[index] for index in (output.matrix_gpus if result.has_matrix else output.remotes)
    )
    result.switched = frozenset(
        addresses[index]
        for index, remotes in output.remotes.items()
        if remotes & switches or NO_DEVICE in remotes
    )
    if not (output.addresses or _is_order_irrelevant(result)):
        result.findings.append(fabric_findings.order_assumed(output.source))
    missing = sorted(known - result.covered)
    if missing:
        result.findings.append(fabric_findings.partial(output.source, missing))
    return result


def _modules(output: ToolOutput, gpus: Collection[str], result: ResolvedOutput) -> dict[str, int]:
    if not output.modules:
        return {}
    modules = {gpu: output.modules[gpu] for gpu in gpus if gpu in output.modules}
    if not modules or len(set(modules.values())) != len(modules):
        result.findings.append(fabric_findings.modules(output.source, len(output.modules)))
        return {}
    return modules


def _pairs(
    output: ToolOutput,
    addresses: Mapping[int, str],
    gpus: Collection[str],
    switches: Collection[str],
) -> dict[frozenset[str], int] | None:
    """Return the joined pairs; None if the far ends of links are not on this host."""
    ends = {addresses[index]: remotes for index, remotes in output.remotes.items()}
    if not set().union(*ends.values()) <= {*gpus, *switches, NO_DEVICE}:
        return None
    if any(gpu == end or gpu not in ends.get(end, {gpu}) for gpu in ends for end in ends[gpu]):
        return None
    if output.joined is not None:
        return {
            frozenset((addresses[a], addresses[b])): links
            for (a, b), links in output.joined.items()
        }
    direct = {frozenset((gpu, end)): 1 for gpu in ends for end in ends[gpu] if end in gpus}
    shared = {
        frozenset((a, b)): 1
        for a in ends
        for b in ends
        if a < b and any(end not in gpus for end in ends[a] & ends[b])
    }
    return {**direct, **shared}


def _is_order_irrelevant(result: ResolvedOutput) -> bool:
    """Check whether all GPUs are joined or none, so that every order gives the same groups."""
    joined = neighbours(result.covered, result.pairs)
    groups = [group for group in components(joined) if len(group) > 1]
    complete = len(result.pairs) == len(joined) * (len(joined) - 1) // 2
    return not groups or complete
