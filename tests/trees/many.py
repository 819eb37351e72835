# SPDX-License-Identifier: Apache-2.0
"""Synthetic: more devices than any server has, for tests of speed. It follows no real layout."""

from tests.trees import building_blocks
from tests.trees.device import Device, PortType
from tests.trees.hgx_h100 import H100, gpu
from tests.trees.model import HostBridge, Machine, Processor

_GPUS_PER_SWITCH = 8
_NODES = 4
_PORT = (0x8086, 0x352A)


def many(gpus: int = 64, devices: int = 256) -> Machine:
    """Return a machine with this number of H100 and, in total, of PCI functions.

    Every eight GPUs are behind a switch in their own PCI domain; disks and functions of the root
    complexes are the rest.

    :raises ValueError: if the GPUs and their bridges alone are more, or the rest does not fit
    """
    counts = [
        min(_GPUS_PER_SWITCH, gpus - start) for start in range(0, gpus, _GPUS_PER_SWITCH)
    ] or [0]
    needed = sum(2 + 1 + 2 * count if count else 1 for count in counts)
    spare = devices - needed
    if spare < 0:
        raise ValueError(f"{gpus} GPUs need at least {needed} functions; {devices} were requested.")
    if spare > len(counts) * 2 * 29:
        raise ValueError(f"{devices} functions do not fit together with {gpus} GPUs.")
    shares = [spare // len(counts) + (n < spare % len(counts)) for n in range(len(counts))]
    bridges = [
        HostBridge(domain, 0, domain * _NODES // len(counts), tuple(_domain(domain, count, share)))
        for domain, (count, share) in enumerate(zip(counts, shares, strict=True))
    ]
    return Machine(
        name=f"many-{gpus}-{devices}",
        processor=Processor("intel", "Intel(R) Xeon(R) Platinum 8490H", 52, 57, _NODES, 60),
        nodes=building_blocks.nodes(_NODES, 60, 512 * 1024),
        host_bridges=tuple(bridges),
        command_line="intel_iommu=on iommu=pt",
        iommu="dmar",
        iommu_table="DMAR",
        modules=("kvm", "kvm_intel", *building_blocks.VFIO_MODULES),
        installed_modules=("nvidia", "nouveau", "nvme", "vfio_pci"),
        dmi=(("sys_vendor", "Synthetic"), ("product_name", "Many"), ("chassis_type", "23")),
        names=building_blocks.NAMES,
    )


def _domain(domain: int, gpus: int, spare: int) -> list[Device]:
    functions = [
        Device(
            f"{domain:04x}:00:00.0", 0x8086, 0x09A2, 0x088000, kind=PortType.INTEGRATED, acs=True
        )
    ]
    if gpus:
        below = [
            (f"{domain:04x}:02:{n:02x}.0", gpu(f"{domain:04x}:{3 + n:02x}:00.0", H100, "vfio-pci"))
            for n in range(gpus)
        ]
        switch = building_blocks.switch(f"{domain:04x}:01:00.0", building_blocks.PEX890XX, below)
        functions.append(building_blocks.port(f"{domain:04x}:00:01.0", _PORT, [switch]))
    for number in range(spare // 2):
        disk = building_blocks.nvme(
            f"{domain:04x}:{0x40 + number:02x}:00.0", f"nvme{domain * 64 + number}"
        )
        functions.append(
            building_blocks.port(
                f"{domain:04x}:00:{2 + number:02x}.0", _PORT, [disk], link=building_blocks.GEN4_X4
            )
        )
    if spare % 2:
        functions.append(
            Device(f"{domain:04x}:00:1f.0", 0x8086, 0x09A4, 0x088000, kind=PortType.INTEGRATED)
        )
    return functions
