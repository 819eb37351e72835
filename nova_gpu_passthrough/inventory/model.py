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
    """What the audit found on one host."""

    #: The host's name in Nova, which is libvirt's name of it.
    host: str
    #: What was read: sysfs or hwloc.
    source: str
    #: When, ISO 8601 in UTC.
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
    #: By the GPU's address.
    verdicts: dict[str, Verdict] | None = None

    @functools.cached_property
    def by_address(self) -> Mapping[str, PciDevice]:
        """PCI functions by address."""
        return {device.address: device for device in self.devices}

    @functools.cached_property
    def groups(self) -> Mapping[int, tuple[PciDevice, ...]]:
        """IOMMU groups: their members by the group's number."""
        members: dict[int, list[PciDevice]] = {}
        for device in self.devices:
            if device.iommu_group is not None:
                members.setdefault(device.iommu_group, []).append(device)
        return {number: tuple(group) for number, group in sorted(members.items())}

    @property
    def tells_kernel(self) -> bool:
        """Whether it tells of drivers and IOMMU groups, which a topology export does not."""
        return self.source == "sysfs"

    @property
    def memory_gib(self) -> int:
        """Memory of all NUMA nodes, in whole GiB."""
        return sum(node.memory_mib for node in self.numa_nodes) // 1024

    def device(self, gpu: Gpu) -> PciDevice:
        """The GPU's own PCI function."""
        return self.by_address[gpu.address]

    def companions(self, gpu: Gpu) -> tuple[PciDevice, ...]:
        """The PCI functions that go with the GPU."""
        return tuple(self.by_address[address] for address in gpu.companions)
