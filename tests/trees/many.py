# SPDX-License-Identifier: Apache-2.0
"""Synthetic: more devices than any server has, for speed. It follows no real layout."""

from tests.trees import parts
from tests.trees.device import Device, Kind
from tests.trees.hgx_h100 import H100, gpu
from tests.trees.model import HostBridge, Machine, Processor

_GPUS_PER_SWITCH = 8
_NODES = 4
_PORT = (0x8086, 0x352A)


def many(gpus: int = 64, devices: int = 256) -> Machine:
    """A machine with exactly so many PCI functions, among them so many H100.

    Each eight GPUs are behind a switch in a PCI domain of its own; disks and functions of the root
    complexes make up the number.

    :raises ValueError: if the GPUs and their bridges alone are more than that, or would not fit
    """
    counts = [
        min(_GPUS_PER_SWITCH, gpus - start) for start in range(0, gpus, _GPUS_PER_SWITCH)
    ] or [0]
    needed = sum(2 + 1 + 2 * count if count else 1 for count in counts)
    spare = devices - needed
    if spare < 0:
        raise ValueError(f"{gpus} GPUs need at least {needed} functions; {devices} were asked for.")
    if spare > len(counts) * 2 * 29:
        raise ValueError(f"{devices} functions do not fit beside {gpus} GPUs.")
    shares = [spare // len(counts) + (n < spare % len(counts)) for n in range(len(counts))]
    bridges = [
        HostBridge(domain, 0, domain * _NODES // len(counts), tuple(_domain(domain, count, share)))
        for domain, (count, share) in enumerate(zip(counts, shares, strict=True))
    ]
    return Machine(
        name=f"many-{gpus}-{devices}",
        processor=Processor("intel", "Intel(R) Xeon(R) Platinum 8490H", 52, 57, _NODES, 60),
        nodes=parts.nodes(_NODES, 60, 512 * 1024),
        host_bridges=tuple(bridges),
        command_line="intel_iommu=on iommu=pt",
        iommu="dmar",
        iommu_table="DMAR",
        modules=("kvm", "kvm_intel", *parts.VFIO_MODULES),
        installed_modules=("nvidia", "nouveau", "nvme", "vfio_pci"),
        dmi=(("sys_vendor", "Synthetic"), ("product_name", "Many"), ("chassis_type", "23")),
        names=parts.NAMES,
    )


def _domain(domain: int, gpus: int, spare: int) -> list[Device]:
    made = [
        Device(f"{domain:04x}:00:00.0", 0x8086, 0x09A2, 0x088000, kind=Kind.INTEGRATED, acs=True)
    ]
    if gpus:
        below = [
            (f"{domain:04x}:02:{n:02x}.0", gpu(f"{domain:04x}:{3 + n:02x}:00.0", H100, "vfio-pci"))
            for n in range(gpus)
        ]
        switch = parts.switch(f"{domain:04x}:01:00.0", parts.PEX890XX, below)
        made.append(parts.port(f"{domain:04x}:00:01.0", _PORT, [switch]))
    for number in range(spare // 2):
        disk = parts.nvme(f"{domain:04x}:{0x40 + number:02x}:00.0", f"nvme{domain * 64 + number}")
        made.append(
            parts.port(f"{domain:04x}:00:{2 + number:02x}.0", _PORT, [disk], link=parts.GEN4_X4)
        )
    if spare % 2:
        made.append(Device(f"{domain:04x}:00:1f.0", 0x8086, 0x09A4, 0x088000, kind=Kind.INTEGRATED))
    return made
