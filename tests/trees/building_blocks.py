# SPDX-License-Identifier: Apache-2.0
"""Devices that synthetic GPU servers are built from. Names and ids: pci.ids."""

from collections.abc import Sequence

from tests.trees.device import Bar, Device, Link, PortType
from tests.trees.model import Node, Pool

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

GEN5_X16 = Link(32.0, 16, 32.0, 16)
GEN4_X16 = Link(16.0, 16, 16.0, 16)
GEN4_X4 = Link(16.0, 4, 16.0, 4)
GEN2_X1 = Link(5.0, 1, 5.0, 1)

#: modules in /sys/module of a host that passes devices through
VFIO_MODULES = ("vfio", "vfio_iommu_type1", "vfio_pci_core", "vfio_pci", "irqbypass")

NAMES = (
    ("1000", "Broadcom / LSI"),
    ("1000:c030", "PEX890xx PCIe Gen 5 Switch"),
    ("1002", "Advanced Micro Devices, Inc. [AMD/ATI]"),
    ("1002:74a1", "Aqua Vanjaram [Instinct MI300X]"),
    ("1022", "Advanced Micro Devices, Inc. [AMD]"),
    ("10de", "NVIDIA Corporation"),
    ("10de:2330", "GH100 [H100 SXM5 80GB]"),
    ("10de:2335", "GH100 [H200 SXM 141GB]"),
    ("10de:22a3", "GH100 [H100 NVSwitch]"),
    ("10de:22ba", "AD102 High Definition Audio Controller"),
    ("10de:26b9", "AD102GL [L40S]"),
    ("144d", "Samsung Electronics Co Ltd"),
    ("144d:a80a", "NVMe SSD Controller PM9A1/PM9A3/980PRO"),
    ("15b3", "Mellanox Technologies"),
    ("15b3:1021", "MT2910 Family [ConnectX-7]"),
    ("15b3:101d", "MT2892 Family [ConnectX-6 Dx]"),
    ("1a03", "ASPEED Technology, Inc."),
    ("1a03:1150", "AST1150 PCI-to-PCI Bridge"),
    ("1a03:2000", "ASPEED Graphics Family"),
    ("8086", "Intel Corporation"),
)


def sizes(smallest: int, largest: int) -> tuple[int, ...]:
    """Return every power of two in the range, as Resizable BAR lists sizes."""
    return tuple(1 << bit for bit in range(smallest.bit_length() - 1, largest.bit_length()))


def port(
    address: str,
    ids: tuple[int, int],
    children: Sequence[Device],
    kind: PortType = PortType.ROOT_PORT,
    link: Link = GEN5_X16,
    acs: bool = True,
    slot_watts: int = 0,
) -> Device:
    """Return a root port or a port of a switch."""
    return Device(
        address,
        *ids,
        0x060400,
        kind=kind,
        link=link,
        driver="pcieport",
        # An upstream port has nothing to redirect.
        acs=acs and kind is not PortType.UPSTREAM,
        slot_watts=slot_watts,
        children=tuple(children),
    )


def switch(
    upstream: str,
    ids: tuple[int, int],
    below: Sequence[tuple[str, Device]],
    link: Link = GEN5_X16,
    acs: bool = True,
    slot_watts: int = 0,
) -> Device:
    """Return the upstream port of a PCI Express switch.

    :param below: addresses of the downstream ports, and the device behind each
    """
    ports = [
        port(address, ids, [device], PortType.DOWNSTREAM, device.link or link, acs, slot_watts)
        for address, device in below
    ]
    return port(upstream, ids, ports, PortType.UPSTREAM, link)


PEX890XX = (0x1000, 0xC030)


def connectx7(address: str, infiniband: str, net: str, class_code: int = 0x020700) -> Device:
    """Return a ConnectX-7, InfiniBand (as published for an HGX H100) or Ethernet (020000)."""
    return Device(
        address,
        0x15B3,
        0x1021,
        class_code,
        subsystem=(0x15B3, 0x0023),
        bars=(Bar(0, 32 * MIB),),
        rom=MIB,
        link=GEN5_X16,
        driver="mlx5_core",
        reset_methods=("flr", "bus"),
        infiniband=infiniband,
        net=net,
    )


def connectx6_pair(address: str, infiniband: int, net: str) -> tuple[Device, ...]:
    """Return a ConnectX-6 Dx with two ports, each with ACS, so that each can be passed through.

    :param address: domain:bus:device
    :param infiniband: number of the first mlx5 device
    """
    return tuple(
        Device(
            f"{address}.{number}",
            0x15B3,
            0x101D,
            0x020000,
            subsystem=(0x15B3, 0x0016),
            bars=(Bar(0, 32 * MIB),),
            link=GEN4_X16,
            driver="mlx5_core",
            acs=True,
            reset_methods=("flr",),
            infiniband=f"mlx5_{infiniband + number}",
            net=f"{net}f{number}np{number}",
        )
        for number in range(2)
    )


def epyc_complex(bus: int) -> tuple[Device, Device]:
    """Return the host bridge and the IOMMU, which every root bus of an EPYC has."""
    return (
        Device(f"0000:{bus:02x}:00.0", 0x1022, 0x14A4, 0x060000, kind=PortType.CONVENTIONAL),
        Device(f"0000:{bus:02x}:00.2", 0x1022, 0x149E, 0x080600, kind=PortType.CONVENTIONAL),
    )


#: ids assumed: pci.ids of 2023 does not have them
EPYC_PORT = (0x1022, 0x14AB)


def nvme(address: str, name: str) -> Device:
    """Return an SSD like the PM9A3."""
    return Device(
        address,
        0x144D,
        0xA80A,
        0x010802,
        subsystem=(0x144D, 0xA801),
        bars=(Bar(0, 16 * KIB, prefetchable=False),),
        link=GEN4_X4,
        driver="nvme",
        reset_methods=("flr", "bus"),
        nvme=name,
    )


def bmc(root: str, bridge: str, graphics: str, ids: tuple[int, int]) -> Device:
    """Return a root port with an ASPEED BMC: graphics behind a bridge to conventional PCI."""
    vga = Device(
        graphics,
        0x1A03,
        0x2000,
        0x030000,
        kind=PortType.CONVENTIONAL,
        subsystem=(0x1A03, 0x2000),
        revision=0x52,
        bars=(
            Bar(0, 64 * MIB, bits=32, prefetchable=False),
            Bar(1, 256 * KIB, bits=32, prefetchable=False),
            Bar(2, 128, io=True),
        ),
        driver="ast",
        reset_methods=("bus",),
        boot_vga=True,
    )
    aspeed = Device(
        bridge,
        0x1A03,
        0x1150,
        0x060400,
        kind=PortType.PCI_BRIDGE,
        subsystem=(0x1A03, 0x1150),
        revision=0x06,
        link=GEN2_X1,
        children=(vga,),
    )
    return port(root, ids, [aspeed], link=GEN2_X1)


def nodes(
    count: int, cores: int, memory_mib: int, threads: int = 2, pools: tuple[Pool, ...] = ()
) -> tuple[Node, ...]:
    """Return NUMA nodes, one per socket, with distances 10 and 21 (as in recorded trees of Xeons).

    :param cores: of each node
    """
    total = count * cores
    return tuple(
        Node(
            node,
            tuple(
                thread * total + node * cores + core
                for thread in range(threads)
                for core in range(cores)
            ),
            memory_mib,
            tuple(10 if other == node else 21 for other in range(count)),
            pools or (Pool(2048, 0, 0), Pool(1048576, 0, 0)),
        )
        for node in range(count)
    )
