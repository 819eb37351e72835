# SPDX-License-Identifier: Apache-2.0
"""The reasons for which a host that is full of servers of one flavor has resources left."""

from collections.abc import Iterator, Mapping
from fractions import Fraction

from nova_gpu_passthrough.files import cpu_list
from nova_gpu_passthrough.fleet import cpu_sets
from nova_gpu_passthrough.fleet.flavors import shares, specs
from nova_gpu_passthrough.fleet.flavors.candidate import FlavorCandidate
from nova_gpu_passthrough.fleet.flavors.draft import FlavorDraft
from nova_gpu_passthrough.fleet.flavors.flavor_plan import HostResources
from nova_gpu_passthrough.fleet.flavors.host_layout import HostLayout, NodeLayout
from nova_gpu_passthrough.nova_rules.refusal import Constraint, Refusal

_FIXED_FLAVOR = "the fleet file sets the size of the flavor"


def find(
    candidate: FlavorCandidate, layout: HostLayout, refusal: Refusal, left: HostResources
) -> tuple[str, ...]:
    """Return clauses about GPUs, then vCPUs, then memory.

    :param refusal: why the host refuses the next server
    """
    draft = candidate.draft
    if draft is None:
        return (_FIXED_FLAVOR,) if left else ()
    reasons = []
    if left.gpus:
        reasons.append(_gpus(draft, layout, refusal, left.gpus))
    if left.vcpus or left.ram_mib:
        reasons += list(_other_gpus(draft, layout, left))
    if left.vcpus:
        reasons += list(_vcpus(candidate, draft, layout))
    if left.ram_mib:
        reasons += list(_ram(candidate, draft, layout))
    return tuple(dict.fromkeys(reasons))


def _gpus(draft: FlavorDraft, layout: HostLayout, refusal: Refusal, left: int) -> str:
    total, count = len(layout.gpus(draft.alias)), draft.count
    if left == total % count:
        return f"the number of GPUs, {total}, is not a multiple of {count}"
    if refusal.constraint is Constraint.VCPUS:
        return "the CPUs are used up first"
    if refusal.constraint is Constraint.RAM:
        return "the memory is used up first"
    if refusal.constraint is Constraint.LINK:
        sizes = sorted(_link_groups(draft, layout).values())
        return f"link groups have {_list(sizes)} GPUs, and a server needs {count} of one group"
    nodes = [node.gpus.get(draft.alias.name, 0) for node in layout.nodes]
    return (
        f"the NUMA nodes have {_list(nodes)} GPUs, and a server needs {count} on {draft.cells} "
        "NUMA nodes"
    )


def _link_groups(draft: FlavorDraft, layout: HostLayout) -> Mapping[str, int]:
    """Return the number of GPUs in each link group; a GPU without links is a group."""
    sizes: dict[str, int] = {}
    for gpu in layout.gpus(draft.alias):
        group = gpu.gpu.link_group[0] if gpu.gpu and gpu.gpu.link_group else gpu.address
        sizes[group] = sizes.get(group, 0) + 1
    return sizes


def _other_gpus(draft: FlavorDraft, layout: HostLayout, left: HostResources) -> Iterator[str]:
    if left.gpus:
        yield f"{left.gpus} unused GPUs keep their share"
    models = sorted({gpu.model for gpu in layout.offer.gpus} - {draft.alias.model})
    others = layout.gpu_count - len(layout.gpus(draft.alias))
    if others:
        names = ", ".join(models) or "of another device type"
        yield f"{others} other GPUs ({names}) keep their share"


def _vcpus(candidate: FlavorCandidate, draft: FlavorDraft, layout: HostLayout) -> Iterator[str]:
    rule = candidate.rule
    if rule is not None and rule.vcpus_per_gpu is not None:
        yield f"vcpus_per_gpu is {rule.vcpus_per_gpu}"
        return
    share, cell_vcpus = draft.shares.get(layout.host), draft.vcpus // draft.cells
    if share is None:
        return
    pinned = candidate.flavor.extra_specs.get(specs.CPU_POLICY) == specs.DEDICATED
    nodes = [node for node in layout.nodes if node.gpu_count and node.vcpus(pinned)]
    threads = shares.threads_per_core(draft.layouts)
    if share.vcpus % threads:
        yield _partial_cores(draft, layout, nodes, pinned, share.vcpus, threads)
    if cell_vcpus < int(share.vcpus) // threads * threads:
        yield f"{_smallest(draft, 'vcpus')} has fewer CPUs for each GPU"
    yield from _unequal(nodes, {n.cell.id: n.vcpus(pinned) for n in nodes}, "CPUs")


def _partial_cores(
    draft: FlavorDraft,
    layout: HostLayout,
    nodes: list[NodeLayout],
    pinned: bool,
    share: Fraction,
    threads: int,
) -> str:
    """Describe the node with the smallest share, and a setting that makes shares whole cores."""
    node = min(nodes, key=lambda node: Fraction(node.vcpus(pinned), node.gpu_count))
    text = f"node {node.cell.id} has {node.vcpus(pinned)} CPUs"
    cores = next(n.cores for n in layout.offer.inventory.numa_nodes if n.id == node.cell.id)
    others = sum(len(cpu_list.parse(core)) for core in cores) - node.vcpus(pinned)
    if others:
        text += f" besides the {others} that the host keeps or shares"
    text += (
        f", so the share of a server with {draft.count} of {node.gpu_count} GPUs is "
        f"{_number(share)} CPUs in each of its NUMA nodes, which is not a multiple of {threads}, "
        "the threads of a core"
    )
    better = _better_host_cores(draft, layout, threads) if pinned else None
    return text if better is None else f"{text}; host_cores: {better} would avoid this"


def _better_host_cores(draft: FlavorDraft, layout: HostLayout, threads: int) -> int | None:
    """Return the least ``host_cores`` that makes all shares whole cores; None if none does."""
    counts = {node.cell.id: node.gpu_count for node in layout.nodes if node.gpu_count}
    for host_cores in range(1, max(map(len, (node.cell.siblings for node in layout.nodes)))):
        sets = cpu_sets.propose(layout.offer, host_cores)
        if sets is not None and all(
            len(sets.dedicated_by_node.get(node, ())) * draft.count % (count * threads) == 0
            and len(sets.dedicated_by_node.get(node, ())) * draft.count >= count * threads
            for node, count in counts.items()
        ):
            return host_cores
    return None


def _ram(candidate: FlavorCandidate, draft: FlavorDraft, layout: HostLayout) -> Iterator[str]:
    rule = candidate.rule
    if rule is not None and rule.ram_mib_per_gpu is not None:
        yield f"ram_mib_per_gpu is {rule.ram_mib_per_gpu}"
        return
    if candidate.flavor.ram_mib < draft.ram_mib:
        yield "the address space of a guest holds no more memory besides the GPUs' BARs"
        return
    share, cell_mib = draft.shares.get(layout.host), draft.ram_mib // draft.cells
    if share is None:
        return
    rounded = shares.round_mib(int(share.ram_mib))
    if rounded < share.ram_mib:
        yield (
            f"a server's share of a NUMA node is {_number(share.ram_mib)} MiB, which is rounded "
            f"down to {rounded} MiB"
        )
    if cell_mib < rounded:
        yield f"{_smallest(draft, 'ram_mib')} has less memory for each GPU"
    size = candidate.flavor.extra_specs.get(specs.PAGE_SIZE, "small")
    nodes = [node for node in layout.nodes if node.gpu_count]
    without_gpu = [str(node.cell.id) for node in layout.nodes if not node.gpu_count]
    if without_gpu:
        yield f"node {', '.join(without_gpu)} has no GPU, its memory is for other servers"
    memory = {node.cell.id: node.cell.as_numa_cell().free_memory_mib for node in nodes}
    yield from _unequal(nodes, memory, f"MiB in pages of size {size}")


def _unequal(nodes: list[NodeLayout], amounts: Mapping[int, int], unit: str) -> Iterator[str]:
    by_share = {Fraction(amounts[node.cell.id], node.gpu_count) for node in nodes}
    if len(by_share) > 1:
        clauses = [
            f"{amounts[node.cell.id]} for {node.gpu_count} GPUs on node {node.cell.id}"
            for node in nodes
        ]
        yield f"the NUMA nodes are unequal in {unit}: {', '.join(clauses)}"


def _smallest(draft: FlavorDraft, field: str) -> str:
    return min(draft.shares, key=lambda host: getattr(draft.shares[host], field))


def _number(value: Fraction) -> str:
    return f"{float(value):.2f}".rstrip("0").rstrip(".")


def _list(numbers: list[int]) -> str:
    return " and ".join(map(str, numbers))
