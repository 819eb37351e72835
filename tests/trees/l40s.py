# SPDX-License-Identifier: Apache-2.0
"""Synthetic: a server with four or eight L40S cards in slots of two AMD EPYC sockets.

Published, and followed here:

* warpem/miss-alignment issue 106: ``nvidia-smi topo -m`` of four L40S, two per socket, each behind
  a host bridge of its own (NODE), a pair of NICs at the second socket; CPUs 0-95,192-287 and
  96-191,288-383.
* akash-network/provider-configs pull request 99: 10de:26b9, class 0302, revision a1, PCIe gen 4
  x16, 01:00.0 and 91:00.0, no audio function listed: the card hides it while it is in its
  display-less mode.
* An AD102 card's ``lspci -vvv`` (geerlingguy/raspberry-pi-pcie-devices issue 504, RTX 4090):
  register 0 is 16 MiB, 32-bit and not prefetchable; 1 and 3 are 64-bit; 3 is 32 MiB; FLReset+; no
  PME from D3cold.

Assumed: 64 GiB in register 1 (the power of two above 48 GB); 32 virtual functions and their
registers; the audio function's registers (10de:22ba) and that it has no FLR, as on other cards;
``flr`` alone for the GPU, since a bus reset would hit the audio function too; slots of 75 W; the
subsystem and the buses of the other cards; all devices other than GPUs.
"""

from tests.trees import building_blocks
from tests.trees.device import Bar, Device, Sriov
from tests.trees.model import RACK_MOUNT, HostBridge, Machine, Processor

L40S, AUDIO = 0x26B9, 0x22BA

#: Root buses of the cards, first those of socket 0; with four cards the first two of each.
ROOTS = ((0x00, 0x20, 0x40, 0x60), (0x80, 0x90, 0xA0, 0xC0))


def card(
    bus: int, slot: str, driver: str | None, audio: bool, audio_driver: str | None
) -> list[Device]:
    """Return the functions of a card: GPU, audio."""
    gpu = Device(
        f"0000:{bus:02x}:00.0",
        0x10DE,
        L40S,
        0x030200,
        subsystem=(0x10DE, 0x1851),
        revision=0xA1,
        bars=(
            Bar(0, 16 * building_blocks.MIB, bits=32, prefetchable=False),
            Bar(
                1,
                64 * building_blocks.GIB,
                sizes=building_blocks.sizes(64 * building_blocks.MIB, 64 * building_blocks.GIB),
            ),
            Bar(3, 32 * building_blocks.MIB),
        ),
        link=building_blocks.GEN4_X16,
        driver=driver,
        reset_methods=("flr",) if audio else ("flr", "bus"),
        sriov=Sriov(
            32,
            L40S,
            (
                Bar(0, 256 * building_blocks.KIB, bits=32, prefetchable=False),
                Bar(1, 2 * building_blocks.GIB),
                Bar(3, 32 * building_blocks.MIB),
            ),
            offset=4,
        ),
        slot=slot,
    )
    if not audio:
        return [gpu]
    sound = Device(
        f"0000:{bus:02x}:00.1",
        0x10DE,
        AUDIO,
        0x040300,
        subsystem=(0x10DE, 0x1851),
        revision=0xA1,
        bars=(Bar(0, 16 * building_blocks.KIB, bits=32, prefetchable=False),),
        link=building_blocks.GEN4_X16,
        driver=audio_driver,
        # None: a bus reset would also reset the GPU, and there is no FLR.
        slot=slot,
    )
    return [gpu, sound]


def machine(
    gpus: int = 4,
    driver: str | None = "vfio-pci",
    audio: bool = True,
    audio_driver: str | None = "vfio-pci",
) -> Machine:
    """Return the server, ready for passthrough.

    :param gpus: 4 or 8
    :param audio: whether the cards show their audio function
    :raises ValueError: for another number of GPUs
    """
    if gpus not in (4, 8):
        raise ValueError(f"The L40S server has 4 or 8 GPUs, not {gpus}.")
    bridges = []
    number = 0
    for node, roots in enumerate(ROOTS):
        for root in roots[: gpus // 2]:
            number += 1
            functions = card(root + 1, str(number), driver, audio, audio_driver)
            port = building_blocks.port(
                f"0000:{root:02x}:01.1",
                building_blocks.EPYC_PORT,
                functions,
                link=building_blocks.GEN4_X16,
                slot_watts=75,
            )
            bridges.append(HostBridge(0, root, node, (*building_blocks.epyc_complex(root), port)))
    nics = building_blocks.connectx6_pair("0000:e1:00", 0, "ens9")
    bridges.append(
        HostBridge(
            0,
            0xE0,
            1,
            (
                *building_blocks.epyc_complex(0xE0),
                building_blocks.port(
                    "0000:e0:01.1", building_blocks.EPYC_PORT, nics, link=building_blocks.GEN4_X16
                ),
                building_blocks.port(
                    "0000:e0:03.1",
                    building_blocks.EPYC_PORT,
                    [building_blocks.nvme("0000:e2:00.0", "nvme0")],
                    link=building_blocks.GEN4_X4,
                ),
                building_blocks.bmc(
                    "0000:e0:05.1", "0000:e3:00.0", "0000:e4:00.0", building_blocks.EPYC_PORT
                ),
            ),
        )
    )
    used = {driver, audio_driver if audio else None}
    loaded = tuple(
        sorted(one.replace("-", "_") for one in used if one is not None and one != "vfio-pci")
    )
    if "vfio-pci" in used:
        loaded += building_blocks.VFIO_MODULES
    return Machine(
        name=f"l40s-{gpus}",
        processor=Processor("amd", "AMD EPYC 9654 96-Core Processor", 52, 57, 2, 96),
        nodes=building_blocks.nodes(2, 96, 384 * 1024),
        host_bridges=tuple(bridges),
        command_line="amd_iommu=on iommu=pt",
        iommu="ivhd",
        iommu_table="IVRS",
        modules=("kvm", "kvm_amd", "mlx5_core", "nvme", "ast", *loaded),
        installed_modules=(
            "nvidia",
            "nouveau",
            "snd_hda_intel",
            "mlx5_core",
            "nvme",
            "ast",
            "vfio_pci",
        ),
        dmi=(
            ("sys_vendor", "Lenovo"),
            ("product_name", "ThinkSystem SR675 V3 (synthetic)"),
            ("board_vendor", "Lenovo"),
            ("chassis_type", RACK_MOUNT),
        ),
        names=building_blocks.NAMES,
    )
