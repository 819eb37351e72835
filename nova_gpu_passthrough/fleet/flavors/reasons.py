# SPDX-License-Identifier: Apache-2.0
"""Why a host that is full of servers of one flavor has something left."""

from collections.abc import Iterator, Mapping
from fractions import Fraction

from nova_gpu_passthrough.files import cpu_list
from nova_gpu_passthrough.fleet import cpu_sets
from nova_gpu_passthrough.fleet.flavors import shares, specs
from nova_gpu_passthrough.fleet.flavors.candidate import Candidate
from nova_gpu_passthrough.fleet.flavors.draft import Draft
from nova_gpu_passthrough.fleet.flavors.layout import Layout, Node
from nova_gpu_passthrough.fleet.flavors.plan import Left
from nova_gpu_passthrough.nova_rules.why_not import Cause, Refused

_WRITTEN_OUT = "the flavor is written out"


def why(candidate: Candidate, layout: Layout, refused: Refused, left: Left) -> tuple[str, ...]:
    """Clauses about GPUs, then vCPUs, then memory.

    :param refused: what refused the next server
    """
    draft = candidate.draft
    if draft is None:
        return (_WRITTEN_OUT,) if left else ()
    found = []
    if left.gpus:
        found.append(_gpus(draft, layout, refused, left.gpus))
    if left.vcpus or left.ram_mib:
        found += list(_others(draft, layout, left))
    if left.vcpus:
        found += list(_vcpus(candidate, draft, layout))
    if left.ram_mib:
        found += list(_ram(candidate, draft, layout))
    return tuple(dict.fromkeys(found))


def _gpus(draft: Draft, layout: Layout, refused: Refused, left: int) -> str:
    total, count = len(layout.gpus(draft.alias)), draft.count
    if left == total % count:
        return f"{total} GPUs are no multiple of {count}"
    if refused.cause is Cause.VCPUS:
        return "the CPUs are used up first"
    if refused.cause is Cause.RAM:
        return "the memory is used up first"
    if refused.cause is Cause.LINK:
        sizes = sorted(_links(draft, layout).values())
        return f"link groups have {_list(sizes)} GPUs, and a server needs {count} of one group"
    nodes = [node.gpus.get(draft.alias.name, 0) for node in layout.nodes]
    return f"the NUMA nodes have {_list(nodes)} GPUs, and a server needs {count} of {draft.cells}"


def _links(draft: Draft, layout: Layout) -> Mapping[str, int]:
    sizes: dict[str, int] = {}
    for gpu in layout.gpus(draft.alias):
        group = gpu.gpu.link_group[0] if gpu.gpu and gpu.gpu.link_group else gpu.address
        sizes[group] = sizes.get(group, 0) + 1
    return sizes


def _others(draft: Draft, layout: Layout, left: Left) -> Iterator[str]:
    if left.gpus:
        yield f"{left.gpus} GPUs that are left have their share"
    others = sorted({gpu.model for gpu in layout.offer.gpus} - {draft.alias.model})
    mine = len(layout.gpus(draft.alias))
    if layout.gpu_count > mine:
        what = ", ".join(others) or "of another device type"
        yield f"{layout.gpu_count - mine} other GPUs ({what}) have their share"


def _vcpus(candidate: Candidate, draft: Draft, layout: Layout) -> Iterator[str]:
    rule = candidate.rule
    if rule is not None and rule.vcpus_per_gpu is not None:
        yield f"vcpus_per_gpu is {rule.vcpus_per_gpu}"
        return
    own, cell = draft.shares.get(layout.host), draft.vcpus // draft.cells
    if own is None:
        return
    pinned = candidate.flavor.extra_specs.get(specs.CPU_POLICY) == specs.DEDICATED
    nodes = [node for node in layout.nodes if node.gpu_count and node.vcpus(pinned)]
    threads = shares.threads(draft.layouts)
    if own.vcpus % threads:
        yield _cores(draft, layout, nodes, pinned, own.vcpus, threads)
    if cell < int(own.vcpus) // threads * threads:
        yield f"{_smallest(draft, 'vcpus')} has fewer CPUs for each GPU"
    yield from _unequal(nodes, {n.cell.id: n.vcpus(pinned) for n in nodes}, "CPUs")


def _cores(
    draft: Draft,
    layout: Layout,
    nodes: list[Node],
    pinned: bool,
    share: Fraction,
    threads: int,
) -> str:
    """The node that decides, what of it is not for servers, and what would help."""
    node = min(nodes, key=lambda node: Fraction(node.vcpus(pinned), node.gpu_count))
    text = f"node {node.cell.id} has {node.vcpus(pinned)} CPUs"
    cores = next(n.cores for n in layout.offer.inventory.numa_nodes if n.id == node.cell.id)
    beside = sum(len(cpu_list.parse(core)) for core in cores) - node.vcpus(pinned)
    if beside:
        text += f" beside the {beside} that the host keeps or shares"
    text += (
        f", so a server with {draft.count} of {node.gpu_count} GPUs could have {_number(share)} in "
        f"each of its NUMA nodes, which are no whole cores of {threads} threads"
    )
    better = _host_cores(draft, layout, threads) if pinned else None
    return text if better is None else f"{text}; host_cores: {better} would make them whole"


def _host_cores(draft: Draft, layout: Layout, threads: int) -> int | None:
    """How many cores of each node the host could keep so that shares are whole cores."""
    counts = {node.cell.id: node.gpu_count for node in layout.nodes if node.gpu_count}
    for wanted in range(1, max(map(len, (node.cell.siblings for node in layout.nodes)))):
        sets = cpu_sets.propose(layout.offer, wanted)
        if sets is not None and all(
            len(sets.dedicated_by_node.get(node, ())) * draft.count % (count * threads) == 0
            and len(sets.dedicated_by_node.get(node, ())) * draft.count >= count * threads
            for node, count in counts.items()
        ):
            return wanted
    return None


def _ram(candidate: Candidate, draft: Draft, layout: Layout) -> Iterator[str]:
    rule = candidate.rule
    if rule is not None and rule.ram_mib_per_gpu is not None:
        yield f"ram_mib_per_gpu is {rule.ram_mib_per_gpu}"
        return
    if candidate.flavor.ram_mib < draft.ram_mib:
        yield "the address space of a guest holds no more memory beside the GPUs"
        return
    own, cell = draft.shares.get(layout.host), draft.ram_mib // draft.cells
    if own is None:
        return
    rounded = shares.rounded_mib(int(own.ram_mib))
    if rounded < own.ram_mib:
        yield f"a server's share of a NUMA node is {_number(own.ram_mib)} MiB, no whole GiB"
    if cell < rounded:
        yield f"{_smallest(draft, 'ram_mib')} has less memory for each GPU"
    size = candidate.flavor.extra_specs.get(specs.PAGE_SIZE, "small")
    nodes = [node for node in layout.nodes if node.gpu_count]
    bare = [str(node.cell.id) for node in layout.nodes if not node.gpu_count]
    if bare:
        yield f"node {', '.join(bare)} has no GPU, its memory is for other servers"
    memory = {node.cell.id: node.cell.as_numa_cell().free_memory_mib for node in nodes}
    yield from _unequal(nodes, memory, f"MiB in pages of size {size}")


def _unequal(nodes: list[Node], amounts: Mapping[int, int], unit: str) -> Iterator[str]:
    by_share = {Fraction(amounts[node.cell.id], node.gpu_count) for node in nodes}
    if len(by_share) > 1:
        parts = [
            f"{amounts[node.cell.id]} for {node.gpu_count} GPUs on node {node.cell.id}"
            for node in nodes
        ]
        yield f"the NUMA nodes are unequal in {unit}: {', '.join(parts)}"


def _smallest(draft: Draft, field: str) -> str:
    return min(draft.shares, key=lambda host: getattr(draft.shares[host], field))


def _number(value: Fraction) -> str:
    return f"{float(value):.2f}".rstrip("0").rstrip(".")


def _list(numbers: list[int]) -> str:
    return " and ".join(map(str, numbers))
