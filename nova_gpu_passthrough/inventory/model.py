# SPDX-License-Identifier: Apache-2.0
"""The inventory of one host: facts, findings and verdicts."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from nova_gpu_passthrough.inventory.findings import Finding, Verdict
from nova_gpu_passthrough.inventory.host import Chassis, Cpu, Iommu, Kernel, Machine, NumaNode
from nova_gpu_passthrough.inventory.pci import Gpu, PciDevice


@dataclass(frozen=True)
class Inventory:
    """The inventory of one host."""

    #: The host's name in Nova, which libvirt reports.
    host: str
    #: Source of the facts: sysfs or hwloc.
    source: str
    #: Time of the audit: ISO 8601 in UTC.
    audited_at: str
    machine: Machine = Machine()
    cpu: Cpu = Cpu()
    kernel: Kernel = Kernel()
    iommu: Iommu = Iommu()
    numa_nodes: tuple[NumaNode, ...] = ()
    #: All PCI functions, in the order of their addresses.
    devices: tuple[PciDevice, ...] = ()
    gpus: tuple[Gpu, ...] = ()
    chassis: Chassis | None = None
    findings: tuple[Finding, ...] = ()
    #: Verdicts by GPU address.
    verdicts: dict[str, Verdict] | None = None

    @functools.cached_property
    def by_address(self) -> Mapping[str, PciDevice]:
        """PCI functions by address."""
        return {device.address: device for device in self.devices}

    @functools.cached_property
    def iommu_groups(self) -> Mapping[int, tuple[PciDevice, ...]]:
        """Members of the IOMMU groups by group number."""
        members: dict[int, list[PciDevice]] = {}
        for device in self.devices:
            if device.iommu_group is not None:
                members.setdefault(device.iommu_group, []).append(device)
        return {number: tuple(group) for number, group in sorted(members.items())}

    @property
    def reports_kernel(self) -> bool:
        """Whether the source reports drivers and IOMMU groups; a topology export does not."""
        return self.source == "sysfs"

    @property
    def memory_gib(self) -> int:
        """Memory of all NUMA nodes, in whole GiB."""
        return sum(node.memory_mib for node in self.numa_nodes) // 1024

    def device(self, gpu: Gpu) -> PciDevice:
        """The GPU's own PCI function."""
        return self.by_address[gpu.address]

    def companions(self, gpu: Gpu) -> tuple[PciDevice, ...]:
        """The companions of the GPU."""
        return tuple(self.by_address[address] for address in gpu.companions)
