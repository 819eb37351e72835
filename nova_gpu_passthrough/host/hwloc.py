# SPDX-License-Identifier: Apache-2.0
"""Reads hwloc's XML export (``lstopo host.xml``) into an inventory.

Formats: hwloc2.dtd for hwloc 2 and 3, hwloc.dtd for hwloc 1, and topology-xml.c for what attributes
hold. A topology tells NUMA nodes, CPUs, PCI functions, the bridges above them and links between
GPUs. It tells no IOMMU groups, drivers, BARs, reset methods or huge pages, of PCI Express links
only the bandwidth (a x16 link at 8 GT/s and a x8 link at 16 GT/s look the same), and lstopo leaves
PCI functions out that it takes for unimportant, among them the companions of GPUs.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

from nova_gpu_passthrough.files import cpu_list
from nova_gpu_passthrough.host import hwloc_xml
from nova_gpu_passthrough.host.classify import gpus_of, role_of
from nova_gpu_passthrough.host.hwloc_xml import Element, Topology
from nova_gpu_passthrough.host.platform import cpu_vendor
from nova_gpu_passthrough.inventory.findings import HOST, Finding, Severity
from nova_gpu_passthrough.inventory.host import Cpu, Kernel, Machine, NumaNode
from nova_gpu_passthrough.inventory.model import Inventory
from nova_gpu_passthrough.inventory.pci import Gpu, PciDevice

#: Names of the matrices of hwloc's NVML and RSMI backends (doc/hwloc.doxy): MB/s, hops.
_LINKS = ("NVLinkBandwidth", "XGMIBandwidth")
_LATENCY = 1 << 2


def read(
    path: Path, audited_at: str, host: str | None = None, named: Mapping[str, str] | None = None
) -> Inventory:
    """The inventory of a recorded topology; what hwloc does not tell is None or empty.

    :param audited_at: ISO 8601 in UTC; hwloc does not record it
    :param host: the host's name in Nova, if it is not the recorded host name
    :param named: models by the operator's word, by ``vendor:product``
    :raises UserError: if the file cannot be read or is no topology of hwloc's
    """
    return parse(hwloc_xml.read(path), audited_at, host, named)


def parse(
    topology: Topology, audited_at: str, host: str | None, named: Mapping[str, str] | None
) -> Inventory:
    """The inventory of a topology that is read already; see `read`."""
    named = named or {}
    devices = tuple(sorted(_devices(topology, named), key=lambda device: device.address))
    infos = topology.infos
    linux = infos.get("OSName", "Linux") == "Linux"
    return Inventory(
        host or infos.get("HostName") or Path(topology.source).stem or "unnamed",
        "hwloc",
        audited_at,
        Machine(infos.get("DMISysVendor") or None, infos.get("DMIProductName") or None),
        _cpu(topology),
        Kernel(release=infos.get("OSRelease") if linux else None),
        numa_nodes=tuple(_numa_nodes(topology)),
        devices=devices,
        gpus=_with_peers(topology, gpus_of(devices, named)),
        findings=(
            Finding(
                "read.hwloc",
                Severity.WARNING,
                HOST,
                "hwloc tells no IOMMU groups, drivers, BARs, reset methods and companions",
                topology.source,
                "Whether the GPUs can be passed through, these decide.",
                "Run the audit on the host, or on a recorded tree of its /sys and /proc.",
            ),
        ),
    )


def _cpu(topology: Topology) -> Cpu:
    for element in topology.of_type("Package", "Socket"):
        vendor = element.infos.get("CPUVendor")
        name = cpu_vendor(vendor) if vendor else None
        return Cpu(name, element.infos.get("CPUModel", "").strip() or None)
    return Cpu()


def _numa_nodes(topology: Topology) -> Iterator[NumaNode]:
    packages = list(topology.of_type("Package", "Socket"))
    cores = [core.bits("cpuset") for core in topology.of_type("Core")]
    nodes = sorted(topology.of_type("NUMANode"), key=lambda node: node.number("os_index"))
    units = {unit.number("os_index") for unit in topology.of_type("PU")}
    distances = _distances(topology)
    for node in nodes:
        # The set may be infinite: a machine with one node.
        cpus = {cpu for cpu in node.bits("cpuset", units) if cpu in units}
        own = [sorted(core & cpus) for core in cores if core & cpus]
        sockets = {p.number("os_index") for p in packages if p.bits("cpuset", units) & cpus}
        yield NumaNode(
            node.number("os_index"),
            sockets.pop() if len(sockets) == 1 else None,
            cpu_list.to_text(cpus),
            tuple(",".join(map(str, threads)) for threads in sorted(own)),
            node.number("local_memory", 0) // 2**20,
            distances=distances.get(node.number("os_index"), ()),
        )


def _distances(topology: Topology) -> dict[int, tuple[int, ...]]:
    """Latencies from each NUMA node to all, in the order of their ids; empty if not told."""
    for matrix in topology.matrices:
        if matrix.type == "NUMANode" and matrix.kind & _LATENCY and matrix.by_os_index:
            nodes = [int(index) for index in matrix.indexes]
            order = sorted(range(len(nodes)), key=nodes.__getitem__)
            return {nodes[i]: tuple(matrix.value(i, j) for j in order) for i in order}
    return {}


def _devices(topology: Topology, named: Mapping[str, str]) -> Iterator[PciDevice]:
    for element in topology.of_type("PCIDev", "Bridge"):
        if "pci_busid" not in element.attributes:
            # A host bridge.
            continue
        ids = element.pci_type()
        yield PciDevice(
            element.pci_address(),
            ids.class_code,
            ids.vendor,
            ids.product,
            role_of(ids.class_code, ids.vendor, ids.product, named),
            element.infos.get("PCIDevice") or None,
            ids.subsystem_vendor,
            ids.subsystem_product,
            _numa_node(element),
            bridges=tuple(
                above.pci_address()
                for above in reversed(list(element.ancestors()))
                if above.type == "Bridge" and "pci_busid" in above.attributes
            ),
        )


def _numa_node(element: Element) -> int | None:
    """The node of the closest object above that has one only."""
    for above in element.ancestors():
        if above.attributes.get("nodeset"):
            nodes = above.bits("nodeset")
            return nodes.pop() if len(nodes) == 1 else None
    return None


def _with_peers(topology: Topology, gpus: tuple[Gpu, ...]) -> tuple[Gpu, ...]:
    """GPUs with those that hwloc saw at the far ends of their links, across switches."""
    ends: dict[str, set[str]] = {}
    for matrix in topology.matrices:
        if matrix.name in _LINKS:
            addresses = [topology.address_of(index) for index in matrix.indexes]
            for i, a in enumerate(addresses):
                for j, b in enumerate(addresses):
                    if a and b and a != b and matrix.value(i, j):
                        ends.setdefault(a, set()).add(b)
    known = {gpu.address for gpu in gpus}
    peers: dict[str, set[str]] = {}
    for gpu in known & ends.keys():
        reached, frontier = set(), set(ends[gpu])
        while frontier:
            reached |= frontier
            # On from switches, not from GPUs, which do not pass traffic on.
            frontier = {
                end for switch in frontier - known for end in ends.get(switch, ())
            } - reached
        peers[gpu] = (reached & known) - {gpu}
    return tuple(
        dataclasses.replace(gpu, peers=tuple(sorted(peers.get(gpu.address, ())))) for gpu in gpus
    )
