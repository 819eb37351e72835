# SPDX-License-Identifier: Apache-2.0
"""Check NUMA nodes, their memory and huge pages, and the NUMA nodes of GPUs."""

from collections.abc import Iterator

from nova_gpu_passthrough.host import fix_commands
from nova_gpu_passthrough.inventory.findings import HOST, Finding, Remedy, Severity
from nova_gpu_passthrough.inventory.model import Inventory
from nova_gpu_passthrough.inventory.pci import Gpu

_NODES = "/sys/devices/system/node"
_PURPOSE = "Reserve pages of 1 GiB on the kernel command line."


def check(inventory: Inventory) -> Iterator[Finding]:
    """Check the NUMA nodes of the host, then of every GPU."""
    if not inventory.numa_nodes:
        if inventory.gpus:
            yield Finding(
                "numa.unknown",
                Severity.WARNING,
                HOST,
                "the kernel reports no NUMA nodes",
                _NODES,
                "Nova cannot keep GPUs, vCPUs and memory together.",
                fix_commands.remove_kernel_options(inventory, "numa=off")
                if "numa=off" in (inventory.kernel.command_line or "").split()
                else "Boot a kernel with NUMA support.",
            )
        return
    for node in inventory.numa_nodes:
        pools = [
            f"{pool.total} of {pool.size_kib // 1024} MiB" for pool in node.huge_pages if pool.total
        ]
        yield Finding(
            "numa.node",
            Severity.OK,
            HOST,
            f"node {node.id}: CPUs {node.cpus or 'none'}, {node.memory_mib} MiB, huge pages "
            f"{', '.join(pools) or 'none'}",
            f"{_NODES}/node{node.id}",
        )
    yield from _huge_pages(inventory)
    for gpu in inventory.gpus:
        yield _node_of(inventory, gpu)


def _huge_pages(inventory: Inventory) -> Iterator[Finding]:
    known = [node for node in inventory.numa_nodes if node.huge_pages]
    if inventory.gpus and known and not any(p.total for n in known for p in n.huge_pages):
        yield Finding(
            "hugepages.none",
            Severity.WARNING,
            HOST,
            "no huge pages reserved on any node",
            f"{_NODES}/node*/hugepages",
            "VFIO pins all memory of a server with a GPU. With 4 KiB pages that takes minutes for "
            "hundreds of GiB, and flavors with hw:mem_page_size=large do not fit on the host.",
            fix_commands.generate(inventory, _PURPOSE, "--hugepages"),
            Remedy.CONFIGURATION,
        )


def _node_of(inventory: Inventory, gpu: Gpu) -> Finding:
    node_id = inventory.device(gpu).numa_node
    source = f"/sys/bus/pci/devices/{gpu.address}/numa_node"
    node = next((n for n in inventory.numa_nodes if n.id == node_id), None)
    if node_id is None and len(inventory.numa_nodes) > 1:
        return Finding(
            "numa.gpu_without_node",
            Severity.WARNING,
            gpu.address,
            f"numa_node is -1 on a host with {len(inventory.numa_nodes)} nodes",
            source,
            "Nova's NUMA policy required rejects the GPU; policy legacy allows vCPUs on any node, "
            "also on a distant one.",
            "Update the firmware (ACPI _PXM of the host bridge) or set its NUMA options (NPS, SNC, "
            "LLC as NUMA) so that it reports the node.",
            Remedy.FIRMWARE,
        )
    if node is not None and (not node.cpus or not node.memory_mib):
        return Finding(
            "numa.node_without_cpus_or_memory",
            Severity.WARNING,
            gpu.address,
            f"node {node_id} has CPUs {node.cpus or 'none'} and {node.memory_mib} MiB",
            source,
            "With Nova's NUMA policy required, vCPUs or memory do not fit on the node of the GPU.",
            "Populate the memory channels of that socket, or use policy socket or preferred.",
            Remedy.HARDWARE,
        )
    return Finding(
        "numa.gpu",
        Severity.OK,
        gpu.address,
        f"node {node_id}" if node_id is not None else "the host's only node",
        source,
    )
