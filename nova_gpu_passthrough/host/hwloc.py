# SPDX-License-Identifier: Apache-2.0
"""Read hwloc's XML export (``lstopo host.xml``) into an inventory.

Formats: hwloc2.dtd for hwloc 2 and 3, hwloc.dtd for hwloc 1, and topology-xml.c for the values of
attributes. A topology has NUMA nodes, CPUs, PCI functions, the bridges above them and links between
GPUs. It has no IOMMU groups, drivers, BARs, reset methods or huge pages. For PCI Express links it
has only the bandwidth (a x16 link at 8 GT/s and a x8 link at 16 GT/s look the same). lstopo leaves
out PCI functions that it considers unimportant, among them the companions of GPUs.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

from nova_gpu_passthrough.files import cpu_list
from nova_gpu_passthrough.host import hwloc_xml
from nova_gpu_passthrough.host.classify import gpus_of, role_of
from nova_gpu_passthrough.host.hwloc_xml import HwlocObject, HwlocTopology
from nova_gpu_passthrough.host.platform import cpu_vendor
from nova_gpu_passthrough.inventory.findings import HOST, Finding, Severity
from nova_gpu_passthrough.inventory.host import Cpu, Kernel, Machine, NumaNode
from nova_gpu_passthrough.inventory.model import Inventory
from nova_gpu_passthrough.inventory.pci import Gpu, PciDevice

#: Names of the matrices of hwloc's NVML and RSMI backends (doc/hwloc.doxy): MB/s, hops.
_LINK_MATRICES = ("NVLinkBandwidth", "XGMIBandwidth")
_LATENCY = 1 << 2


def read(
    path: Path,
    audited_at: str,
    host: str | None = None,
    model_names: Mapping[str, str] | None = None,
) -> Inventory:
    """Return the inventory of a recorded topology; facts that hwloc lacks are None or empty.

    :param audited_at: ISO 8601 in UTC; hwloc does not record it
    :param host: the host's name in Nova, if it is not the recorded host name
    :param model_names: the operator's names of GPU models, by ``vendor:product``
    :raises UserError: if the file cannot be read or is no hwloc topology
    """
    return parse(hwloc_xml.read(path), audited_at, host, model_names)


def parse(
    topology: HwlocTopology,
    audited_at: str,
    host: str | None,
    model_names: Mapping[str, str] | None,
) -> Inventory:
    """Return the inventory of a parsed topology; see `read`."""
    model_names = model_names or {}
    devices = tuple(sorted(_devices(topology, model_names), key=lambda device: device.address))
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
        gpus=_with_peers(topology, gpus_of(devices, model_names)),
        findings=(
            Finding(
                "read.hwloc",
                Severity.WARNING,
                HOST,
                "an hwloc export has no IOMMU groups, drivers, BARs, reset methods and companions",
                topology.source,
                "They decide whether the GPUs can be passed through.",
                "Run the audit on the host, or on a recorded tree of its /sys and /proc.",
            ),
        ),
    )


def _cpu(topology: HwlocTopology) -> Cpu:
    for element in topology.of_type("Package", "Socket"):
        vendor = element.infos.get("CPUVendor")
        name = cpu_vendor(vendor) if vendor else None
        return Cpu(name, element.infos.get("CPUModel", "").strip() or None)
    return Cpu()


def _numa_nodes(topology: HwlocTopology) -> Iterator[NumaNode]:
    packages = list(topology.of_type("Package", "Socket"))
    cores = [core.bits("cpuset") for core in topology.of_type("Core")]
    nodes = sorted(topology.of_type("NUMANode"), key=lambda node: node.number("os_index"))
    units = {unit.number("os_index") for unit in topology.of_type("PU")}
    distances = _distances(topology)
    for node in nodes:
        # The set may be infinite on a machine with one node.
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


def _distances(topology: HwlocTopology) -> dict[int, tuple[int, ...]]:
    """Return the distances from each NUMA node to all, by id; empty if the export has none."""
    for matrix in topology.matrices:
        if matrix.type == "NUMANode" and matrix.kind & _LATENCY and matrix.by_os_index:
            nodes = [int(index) for index in matrix.indexes]
            order = sorted(range(len(nodes)), key=nodes.__getitem__)
            return {nodes[i]: tuple(matrix.value(i, j) for j in order) for i in order}
    return {}


def _devices(topology: HwlocTopology, model_names: Mapping[str, str]) -> Iterator[PciDevice]:
    for element in topology.of_type("PCIDev", "Bridge"):
        if "pci_busid" not in element.attributes:
            # A host bridge has no address.
            continue
        ids = element.pci_type()
        yield PciDevice(
            element.pci_address(),
            ids.class_code,
            ids.vendor,
            ids.product,
            role_of(ids.class_code, ids.vendor, ids.product, model_names),
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


def _numa_node(element: HwlocObject) -> int | None:
    """Return the NUMA node of the closest object above that belongs to a single node."""
    for above in element.ancestors():
        if above.attributes.get("nodeset"):
            nodes = above.bits("nodeset")
            return nodes.pop() if len(nodes) == 1 else None
    return None


def _with_peers(topology: HwlocTopology, gpus: tuple[Gpu, ...]) -> tuple[Gpu, ...]:
    """Return the GPUs with their peers: the GPUs at the far ends of links, through switches."""
    ends: dict[str, set[str]] = {}
    for matrix in topology.matrices:
        if matrix.name in _LINK_MATRICES:
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
            # Continue from switches, but not from GPUs, which do not forward traffic.
            frontier = {
                end for switch in frontier - known for end in ends.get(switch, ())
            } - reached
        peers[gpu] = (reached & known) - {gpu}
    return tuple(
        dataclasses.replace(gpu, peers=tuple(sorted(peers.get(gpu.address, ())))) for gpu in gpus
    )
