# SPDX-License-Identifier: Apache-2.0
"""Synthetic: an HGX H100 or H200 server with eight GPUs and two Intel sockets.

Published, and followed here:

* NVIDIA/nccl issue 1264 (Supermicro SYS-821GE-TNHR, H100): ``nvidia-smi topo -m`` with ten NICs,
  one of them behind the switch of each GPU (PIX) and a pair of its own (NIC3, NIC4); CPUs
  0-55,112-167 and 56-111,168-223.
* NVIDIA/nccl-tests issue 256 (H200, same family): switch 0000:16:00.0 (1000:c030, 32 GT/s x16)
  with GPU 0000:18:00.0 and ConnectX-7 0000:19:00.0, switch 0000:27:00.0; H200 subsystem 10de:18be.
* bigstack-oss/cubecos issue 259 (H200): the addresses of all GPUs and NVSwitches; every GPU in an
  IOMMU group of its own, the NVSwitches together in one.
* A hex dump of an H100's ``config`` (topofmind.dev, notes on GPUs): registers 0, 2 and 4, all
  64-bit and prefetchable; subsystem 10de:16c1, revision a1.
* NVIDIA/nvtrust issues 51 (H100 PCIe) and 128 (H20), ``lspci -vvv``: 16 MiB, 128 GiB, 32 MiB;
  FLReset+; Physical Resizable BAR; no PME from D3cold.
* NVIDIA/nccl issue 1182, ``nvidia-smi nvlink -R``: NVSwitches 05:00.0 to 08:00.0.

Assumed: the addresses of the other switches and NICs; everything above the switches; that the
NVSwitches' group comes from a root port without ACS; their links, register and subsystem; the
sizes that Resizable BAR offers; 16 virtual functions and their registers; ``flr bus`` (FLR is
published; a bus reset is possible where one device alone is behind a bridge: drivers/pci/pci.c);
disks and BMC. H200's register of 256 GiB is the next power of two above its 141 GB. The published
matrix has SYS between devices of one NUMA node, ``tool_output`` has NODE as in its legend.
"""

from tests.trees import building_blocks
from tests.trees.device import Bar, Device, Link, PortType, Sriov
from tests.trees.model import RACK_MOUNT, HostBridge, Machine, Processor

H100, H200 = 0x2330, 0x2335

#: Root bus, upstream port's bus, GPU's bus, NIC's bus; each root bus has one switch.
SWITCHES = (
    ("15", "16", "18", "19"),
    ("26", "27", "2a", "29"),
    ("37", "38", "3a", "3b"),
    ("59", "5a", "5d", "5c"),
    ("97", "98", "9a", "9b"),
    ("a7", "a8", "ab", "aa"),
    ("b7", "b8", "ba", "bb"),
    ("d7", "d8", "db", "da"),
)
#: the InfiniBand device behind the switch of each GPU; mlx5_3 and mlx5_4 are the host's pair
_NICS = (0, 1, 2, 5, 6, 7, 8, 9)
_ROOT_PORT = (0x8086, 0x352A)
_PCH_PORT = (0x8086, 0x1BB8)


def gpu(address: str, product: int, driver: str | None) -> Device:
    """Return an H100 or H200 SXM."""
    frame = (256 if product == H200 else 128) * building_blocks.GIB
    return Device(
        address,
        0x10DE,
        product,
        0x030200,
        subsystem=(0x10DE, 0x18BE if product == H200 else 0x16C1),
        revision=0xA1,
        bars=(
            Bar(0, 16 * building_blocks.MIB, sizes=(16 * building_blocks.MIB,)),
            Bar(2, frame, sizes=building_blocks.sizes(64 * building_blocks.MIB, frame)),
            Bar(4, 32 * building_blocks.MIB, sizes=(32 * building_blocks.MIB,)),
        ),
        link=building_blocks.GEN5_X16,
        driver=driver,
        reset_methods=("flr", "bus"),
        sriov=Sriov(
            16,
            product,
            (
                Bar(0, 256 * building_blocks.KIB),
                Bar(2, frame // 16),
                Bar(4, 32 * building_blocks.MIB),
            ),
        ),
    )


def _nvswitch(address: str, driver: str | None) -> Device:
    return Device(
        address,
        0x10DE,
        0x22A3,
        0x068000,
        subsystem=(0x10DE, 0x1796),
        revision=0xA1,
        bars=(Bar(0, 32 * building_blocks.MIB),),
        link=Link(5.0, 2, 5.0, 2),
        driver=driver,
        reset_methods=("flr", "bus"),
    )


def _root(bus: str) -> Device:
    return Device(
        f"0000:{bus}:00.0", 0x8086, 0x09A2, 0x088000, kind=PortType.INTEGRATED, revision=0x20
    )


def _gpu_bridge(number: int, product: int, driver: str | None) -> HostBridge:
    root, upstream, gpu_bus, nic_bus = SWITCHES[number]
    card = gpu(f"0000:{gpu_bus}:00.0", product, driver)
    name = f"ibs{number + 1}"
    nic = building_blocks.connectx7(f"0000:{nic_bus}:00.0", f"mlx5_{_NICS[number]}", name)
    inner = f"{int(upstream, 16) + 1:02x}"
    first, second = sorted((card, nic), key=lambda device: device.address)
    below = building_blocks.switch(
        f"0000:{upstream}:00.0",
        building_blocks.PEX890XX,
        [(f"0000:{inner}:00.0", first), (f"0000:{inner}:01.0", second)],
    )
    port = building_blocks.port(f"0000:{root}:01.0", _ROOT_PORT, [below])
    return HostBridge(0, int(root, 16), number // 4, (_root(root), port))


def machine(product: int = H100, driver: str | None = "vfio-pci") -> Machine:
    """Return the server, ready for passthrough.

    :param product: :data:`H100` or :data:`H200`
    :param driver: driver of GPUs and NVSwitches: vfio-pci, nvidia, nouveau or None
    """
    fabric = {"nvidia": "nvidia-nvswitch", "nouveau": None}.get(driver or "", driver)
    link = Link(5.0, 2, 16.0, 4)
    nvswitches = building_blocks.switch(
        "0000:03:00.0",
        building_blocks.PEX890XX,
        [
            (f"0000:04:{number:02x}.0", _nvswitch(f"0000:{5 + number:02x}:00.0", fabric))
            for number in range(4)
        ],
        link,
        acs=False,
    )
    first = HostBridge(
        0,
        0x00,
        0,
        (
            _root("00"),
            building_blocks.port("0000:00:1b.0", _PCH_PORT, [nvswitches], link=link, acs=False),
            building_blocks.bmc("0000:00:1c.0", "0000:01:00.0", "0000:02:00.0", _PCH_PORT),
        ),
    )
    nics = building_blocks.connectx6_pair("0000:4a:00", 3, "ens5")
    front = HostBridge(
        0,
        0x49,
        0,
        (
            _root("49"),
            building_blocks.port("0000:49:01.0", _ROOT_PORT, nics, link=building_blocks.GEN4_X16),
        ),
    )
    disks = HostBridge(
        0,
        0xC7,
        1,
        (
            _root("c7"),
            *(
                building_blocks.port(
                    f"0000:c7:{2 * n + 1:02x}.0",
                    (0x8086, 0x352A + n),
                    [building_blocks.nvme(f"0000:{0xC8 + n:02x}:00.0", f"nvme{n}")],
                    link=building_blocks.GEN4_X4,
                    slot_watts=25,
                )
                for n in range(2)
            ),
        ),
    )
    bridges = [first, front, disks, *(_gpu_bridge(n, product, driver) for n in range(8))]
    loaded = {"vfio-pci": building_blocks.VFIO_MODULES, None: ()}.get(driver, (driver or "",))
    return Machine(
        name="hgx-h200" if product == H200 else "hgx-h100",
        processor=Processor("intel", "Intel(R) Xeon(R) Platinum 8480+", 52, 57, 2, 56),
        nodes=building_blocks.nodes(2, 56, 1024 * 1024),
        host_bridges=tuple(sorted(bridges, key=lambda bridge: bridge.bus)),
        command_line="intel_iommu=on iommu=pt",
        iommu="dmar",
        iommu_table="DMAR",
        modules=("kvm", "kvm_intel", "mlx5_core", "nvme", "ast", *loaded),
        installed_modules=("nvidia", "nouveau", "mlx5_core", "nvme", "ast", "vfio_pci"),
        dmi=(
            ("sys_vendor", "Supermicro"),
            ("product_name", "SYS-821GE-TNHR (synthetic)"),
            ("board_vendor", "Supermicro"),
            ("chassis_type", RACK_MOUNT),
        ),
        names=building_blocks.NAMES,
    )
