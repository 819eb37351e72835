# SPDX-License-Identifier: Apache-2.0
"""The virtual GPU server as plain data: its devices, their slots and their defects.

:mod:`tests.gpu_host.machine` converts it to a QEMU command line, and the tests compare with it:
:data:`SERVER` contains every function with its address, NUMA node, IOMMU group mates, drivers,
reset methods and intended defects. Ids and classes are those of real cards (pci.ids 2026.06).
"""

from __future__ import annotations

import dataclasses

from tests.gpu_host.hardware import (
    BAR_32,
    BAR_64,
    Bar,
    Card,
    Cell,
    Function,
    LegacyBridge,
    Link,
    RootPort,
    Server,
    Switch,
)

MIB = 1 << 20
GIB = 1 << 30
GEN4 = Link(4, 16)
GEN5 = Link(5, 16)

# The BARs of cards that guests use are small (see A100_HOST for a large one): a guest maps a whole
# BAR page by page when it starts, which takes minutes without KVM.

#: A card without defects.
A100_READY = Function(
    "a100-ready",
    "10de",
    "20b5",
    "0302",
    bars=(Bar(0, 16 * MIB, BAR_32), Bar(1, 16 * MIB), Bar(3, 32 * MIB)),
    flr=True,
    modules=("nouveau",),
    group="a100-ready",
    resets=("flr", "bus"),
    link=GEN4,
    capable=GEN4,
)

#: The same model, kept by the host: ids cannot distinguish the two.
A100_HOST = dataclasses.replace(
    A100_READY,
    name="a100-host",
    group="a100-host",
    bars=(Bar(0, 16 * MIB, BAR_32), Bar(1, 128 * GIB), Bar(3, 32 * MIB)),
)

L40S = Function(
    "l40s",
    "10de",
    "26b9",
    "0302",
    bars=(Bar(0, 16 * MIB, BAR_32), Bar(1, 16 * MIB), Bar(3, 32 * MIB)),
    flr=True,
    modules=("nouveau",),
    group="l40s",
    # "bus" as well: the kernel looks before it has found the second function.
    resets=("flr", "bus"),
    link=GEN4,
    capable=GEN4,
    defects=("companion held by a host driver",),
)
L40S_AUDIO = Function(
    "l40s-audio",
    "10de",
    "22ba",
    "0403",
    kind="audio",
    stock="intel-hda",
    driver="snd_hda_intel",
    modules=("snd_hda_intel",),
    group="l40s",
)

H100 = Function(
    "h100",
    "10de",
    "2331",
    "0302",
    bars=(Bar(0, 16 * MIB), Bar(2, 256 * MIB), Bar(4, 32 * MIB)),
    flr=True,
    modules=("nouveau",),
    group="h100",
    resets=("flr", "bus"),
    link=GEN5,
    capable=GEN5,
    vfs=4,
)

L4_A = Function(
    "l4-a",
    "10de",
    "27b8",
    "0302",
    bars=(Bar(0, 16 * MIB, BAR_32), Bar(1, 16 * MIB), Bar(3, 32 * MIB)),
    flr=True,
    modules=("nouveau",),
    group="l4",
    resets=("flr", "bus"),
    link=GEN4,
    capable=GEN4,
    defects=("group with another GPU",),
)
L4_B = dataclasses.replace(L4_A, name="l4-b")

MI210_A = Function(
    "mi210-a",
    "1002",
    "740f",
    "0380",
    revision=0x02,
    bars=(Bar(0, 64 * GIB), Bar(2, 2 * MIB), Bar(5, MIB // 2, BAR_32)),
    modules=("amdgpu",),
    group="mi210-a",
    resets=("bus",),
    link=GEN4,
    capable=GEN4,
)
#: A badly seated card: half of its lanes.
MI210_B = dataclasses.replace(
    MI210_A, name="mi210-b", group="mi210-b", link=Link(4, 8), defects=("degraded link",)
)
SWITCH_NIC = Function(
    "switch-nic",
    "8086",
    "10d3",
    "0200",
    kind="nic",
    stock="e1000e",
    driver="e1000e",
    modules=("e1000e",),
    group="switch-nic",
)

T4 = Function(
    "t4",
    "10de",
    "1eb8",
    "0302",
    bars=(Bar(0, 16 * MIB, BAR_32),),
    modules=("nouveau",),
    group="legacy",
    resets=("bus",),
    defects=("group with a foreign device",),
)
LEGACY_NIC = Function(
    "legacy-nic",
    "8086",
    "100e",
    "0200",
    kind="nic",
    stock="e1000",
    driver="e1000",
    modules=("e1000",),
    group="legacy",
)

BOOT_VGA = Function(
    "boot-vga",
    "1234",
    "1111",
    "0300",
    kind="vga",
    stock="VGA",
    driver="bochs-drm",
    modules=("bochs",),
    group="boot-vga",
)
#: It has no NUMA node and no reset method.
GAUDI2 = Function(
    "gaudi2",
    "1da3",
    "1020",
    "1200",
    revision=0x01,
    bars=(Bar(0, 16 * MIB, BAR_64), Bar(2, 16 * MIB)),
    group="gaudi2",
    defects=("no NUMA node", "no reset method"),
)

SERVER = Server(
    cells=(
        Cell(
            node=0,
            bus=0x20,
            memory=1024,
            ports=(
                RootPort("slot0", 0, Card((A100_READY,))),
                RootPort("slot1", 1, Card((L40S, L40S_AUDIO))),
                RootPort("slot2", 2, Card((H100,)), GEN5),
                RootPort("slot3", 3, Card((L4_A,)), acs=False),
                RootPort("slot3b", 3, Card((L4_B,)), number=1, acs=False),
            ),
        ),
        Cell(
            node=1,
            bus=0x80,
            memory=1024,
            ports=(
                RootPort("slot4", 0, Card((A100_HOST,))),
                RootPort(
                    "slot5",
                    1,
                    Switch("switch", (Card((MI210_A,)), Card((MI210_B,)), Card((SWITCH_NIC,)))),
                ),
                RootPort("slot6", 2, LegacyBridge("legacy", (Card((T4,)), Card((LEGACY_NIC,))))),
            ),
        ),
    ),
    root=((2, Card((BOOT_VGA,))), (3, Card((GAUDI2,)))),
    defects=("no huge pages", "BARs too large for the address space", "links unknown"),
)

#: One card only, for tests of the board: it boots in half the time.
SMALL_SERVER = Server(
    cells=(Cell(node=0, bus=0x20, memory=768, ports=(RootPort("slot0", 0, Card((A100_READY,))),)),),
    root=(),
)
