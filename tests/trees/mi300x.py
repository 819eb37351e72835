# SPDX-License-Identifier: Apache-2.0
"""Synthetic: a server with eight MI300X and two AMD EPYC sockets (one NUMA node each, NPS1).

Published, and followed here:

* AMD's guide to GPU cluster networking, "Mapping NIC to GPU NUMA Node": ``lspci -PP`` of the eight
  MI300X (1002:74a1) and their ConnectX-7 NICs, from the root ports down, on Mellanox NICs; the
  first four are at CPU 0.
* AMD's MI300X acceptance guide, "Basic system health checks": 32 GT/s x16, ``amd_iommu=on
  iommu=pt``, 1.5 TiB of memory.
* Linux, amdgpu_xgmi.c: files and directories of the hive; amdgpu_pm.c: gc 9.4.3 has no temp1.
* amd/MxGPU-Virtualization issue 25: both FLR and bus reset are tried on a physical function, and
  leave the GPU dead until the host is booted; issue 13: virtual functions (74b5).

Assumed: the ids of the two bridge functions in each module (those of Vega 20 in open-mpi/hwloc
pull request 406) and of the root ports; 256 GiB (the power of two above 192 GB), 2 MiB of
doorbells and 512 KiB of registers, the sizes that amdgpu logs on older boards; 8 virtual
functions; ``power1_input`` instead of ``power1_average``; all devices other than GPUs
and their NICs.
"""

from tests.trees import building_blocks
from tests.trees.device import Bar, Device, PortType, Sriov, Xgmi
from tests.trees.model import RACK_MOUNT, HostBridge, Machine, Processor

MI300X = 0x74A1
HIVE = 0x6B2E4A1D9C3F5E70

#: Root bus; device of the downstream port, bus of the module's upstream port; the same and the
#: NIC's bus for the NIC.
PATHS = (
    (0x00, (0x00, 0x03), (0x01, 0x09)),
    (0x18, (0x04, 0x29), (0x03, 0x23)),
    (0x48, (0x04, 0x59), (0x03, 0x53)),
    (0x60, (0x00, 0x63), (0x01, 0x69)),
    (0x78, (0x00, 0x7B), (0x05, 0x8F)),
    (0x98, (0x03, 0xA3), (0x01, 0x9C)),
    (0xC8, (0x03, 0xD3), (0x02, 0xCD)),
    (0xE0, (0x02, 0xE5), (0x04, 0xF1)),
)


def _module(number: int, upstream: int, driver: str | None) -> Device:
    """Return an OAM: a switch's upstream and downstream port with the GPU behind them."""
    card = Device(
        f"0000:{upstream + 2:02x}:00.0",
        0x1002,
        MI300X,
        0x120000,
        subsystem=(0x1002, MI300X),
        bars=(
            Bar(
                0,
                256 * building_blocks.GIB,
                sizes=building_blocks.sizes(256 * building_blocks.MIB, 256 * building_blocks.GIB),
            ),
            Bar(
                2,
                2 * building_blocks.MIB,
                sizes=building_blocks.sizes(2 * building_blocks.MIB, 8 * building_blocks.MIB),
            ),
            Bar(5, 512 * building_blocks.KIB, bits=32, prefetchable=False),
        ),
        rom=128 * building_blocks.KIB,
        link=building_blocks.GEN5_X16,
        driver=driver,
        reset_methods=("flr", "bus"),
        sriov=Sriov(
            8,
            0x74B5,
            (Bar(0, 32 * building_blocks.GIB), Bar(2, 2 * building_blocks.MIB)),
            offset=0x10,
        ),
        hwmon=(
            ("name", "amdgpu"),
            ("power1_input", "125000000"),
            ("power1_cap", "750000000"),
            ("power1_cap_max", "750000000"),
            ("power1_cap_min", "0"),
            ("power1_cap_default", "750000000"),
            ("power1_label", "PPT"),
            ("temp2_input", "37000"),
            ("temp2_label", "junction"),
            ("temp2_crit", "100000"),
            ("temp3_input", "32000"),
            ("temp3_label", "mem"),
        ),
        xgmi=Xgmi(HIVE, 0x9E3779B97F4A7C15 ^ number, number),
    )
    inner = building_blocks.port(
        f"0000:{upstream + 1:02x}:00.0", (0x1002, 0x14A1), [card], PortType.DOWNSTREAM
    )
    return building_blocks.port(
        f"0000:{upstream:02x}:00.0", (0x1002, 0x14A0), [inner], PortType.UPSTREAM
    )


def _bridge(number: int, driver: str | None) -> HostBridge:
    root, (gpu_port, module), (nic_port, nic_bus) = PATHS[number]
    below = {
        gpu_port: _module(number, module, driver),
        nic_port: building_blocks.connectx7(
            f"0000:{nic_bus:02x}:00.0", f"mlx5_{number}", f"enp{nic_bus}s0np0", 0x020000
        ),
    }
    switch = building_blocks.switch(
        f"0000:{root + 1:02x}:00.0",
        building_blocks.PEX890XX,
        [(f"0000:{root + 2:02x}:{slot:02x}.0", below[slot]) for slot in sorted(below)],
    )
    port = building_blocks.port(f"0000:{root:02x}:01.1", building_blocks.EPYC_PORT, [switch])
    return HostBridge(0, root, number // 4, (*building_blocks.epyc_complex(root), port))


def machine(driver: str | None = "amdgpu") -> Machine:
    """Return the server. Hive and sensors can be read with amdgpu, but not with vfio-pci.

    :param driver: driver of the GPUs: amdgpu, vfio-pci or None
    """
    board = HostBridge(
        0,
        0xB0,
        1,
        (
            *building_blocks.epyc_complex(0xB0),
            building_blocks.port(
                "0000:b0:01.1",
                building_blocks.EPYC_PORT,
                [building_blocks.nvme("0000:b1:00.0", "nvme0")],
                link=building_blocks.GEN4_X4,
            ),
            building_blocks.bmc(
                "0000:b0:05.1", "0000:b2:00.0", "0000:b3:00.0", building_blocks.EPYC_PORT
            ),
        ),
    )
    bridges = [board, *(_bridge(number, driver) for number in range(8))]
    loaded = {"vfio-pci": building_blocks.VFIO_MODULES, None: ()}.get(driver, (driver or "",))
    return Machine(
        name="mi300x",
        processor=Processor("amd", "AMD EPYC 9654 96-Core Processor", 52, 57, 2, 96),
        nodes=building_blocks.nodes(2, 96, 768 * 1024),
        host_bridges=tuple(sorted(bridges, key=lambda bridge: bridge.bus)),
        command_line="amd_iommu=on iommu=pt pci=realloc=off",
        iommu="ivhd",
        iommu_table="IVRS",
        modules=("kvm", "kvm_amd", "mlx5_core", "nvme", "ast", *loaded),
        installed_modules=("amdgpu", "mlx5_core", "nvme", "ast", "vfio_pci"),
        dmi=(
            ("sys_vendor", "Supermicro"),
            ("product_name", "AS-8125GS-TNMR2 (synthetic)"),
            ("board_vendor", "Supermicro"),
            ("chassis_type", RACK_MOUNT),
        ),
        names=building_blocks.NAMES,
    )
