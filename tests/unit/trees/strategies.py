# SPDX-License-Identifier: Apache-2.0
"""Hypothesis strategies for machines, and functions that read a written tree."""

import dataclasses
import os
from pathlib import Path

from hypothesis import strategies as st

from tests.trees import a100_pcie, building_blocks, hgx_h100, l40s, mi300x
from tests.trees.device import Bar, Device, Sriov
from tests.trees.many import many
from tests.trees.model import HostBridge, Machine, Processor

MACHINES = {
    "hgx-h100": hgx_h100.machine(),
    "hgx-h200": hgx_h100.machine(hgx_h100.H200, "nvidia"),
    "mi300x": mi300x.machine(),
    "mi300x-vfio": mi300x.machine("vfio-pci"),
    "l40s-4": l40s.machine(4),
    "l40s-8": l40s.machine(8, "nvidia", audio_driver="snd_hda_intel"),
    "l40s-no-audio": l40s.machine(4, None, audio=False),
    "a100-pcie-4": a100_pcie.machine(),
    "many": many(),
}
MACHINES["arm"] = dataclasses.replace(
    MACHINES["l40s-no-audio"],
    name="arm",
    processor=Processor("arm", "Neoverse-V2", 48, 48, 2, 96, 2),
    iommu="smmu3",
    iommu_table="IORT",
)


def small_hgx() -> Machine:
    """Return an HGX H100 with only two GPUs and few CPUs, which is faster to write."""
    whole = hgx_h100.machine()
    return dataclasses.replace(
        whole,
        name="small",
        processor=dataclasses.replace(whole.processor, cores_per_socket=2),
        nodes=building_blocks.nodes(2, 2, 1024),
        host_bridges=tuple(one for one in whole.host_bridges if one.bus in (0x00, 0x15, 0x26)),
    )


@st.composite
def bars(draw: st.DrawFn) -> tuple[Bar, ...]:
    """Return BARs with sizes of powers of two, 64-bit BARs at even indexes."""
    made = []
    for index in (0, 2, 4):
        if draw(st.booleans()):
            bits = draw(st.sampled_from((32, 64)))
            size = 1 << draw(st.integers(4, 22 if bits == 32 else 38))
            made.append(Bar(index, size, bits, draw(st.booleans()) if size < 1 << 23 else True))
    return tuple(made)


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    """Return machines with devices at root ports, behind switches and with several functions."""
    bridges = []
    for domain in range(draw(st.integers(1, 3))):
        bus = iter(range(1, 256))
        ports = []
        for number in range(draw(st.integers(0, 3))):
            acs = draw(st.booleans())
            if draw(st.booleans()):
                upstream, inner = next(bus), next(bus)
                below = [
                    (f"{domain:04x}:{inner:02x}:{n:02x}.0", draw(_functions(domain, next(bus)))[0])
                    for n in range(draw(st.integers(1, 3)))
                ]
                address = f"{domain:04x}:{upstream:02x}:00.0"
                children = [
                    building_blocks.switch(
                        address, building_blocks.PEX890XX, below, acs=draw(st.booleans())
                    )
                ]
            else:
                children = draw(_functions(domain, next(bus)))
            address = f"{domain:04x}:00:{number + 1:02x}.0"
            ports.append(building_blocks.port(address, (0x8086, 0x352A), children, acs=acs))
        bridges.append(HostBridge(domain, 0, draw(st.sampled_from((-1, 0, 1))), tuple(ports)))
    return Machine(
        name="any",
        processor=Processor("intel", "any", draw(st.sampled_from((36, 39, 46, 52))), 48, 2, 2),
        nodes=building_blocks.nodes(2, 2, 1024),
        host_bridges=tuple(bridges),
        iommu=draw(st.sampled_from((None, "dmar"))),
        iommu_table="DMAR",
    )


@st.composite
def _functions(draw: st.DrawFn, domain: int, bus: int) -> list[Device]:
    sriov = draw(
        st.none()
        | st.builds(
            Sriov,
            total=st.just(7),
            device=st.just(0x1234),
            bars=st.just((Bar(0, 1 << 20),)),
            enabled=st.integers(0, 7),
            offset=st.just(8),
        )
    )
    made = [
        Device(
            f"{domain:04x}:{bus:02x}:00.0",
            0x10DE,
            0x2330,
            draw(st.sampled_from((0x030000, 0x030200, 0x120000, 0x068000))),
            bars=draw(bars()),
            link=draw(st.sampled_from((None, building_blocks.GEN5_X16, building_blocks.GEN4_X4))),
            driver=draw(st.sampled_from((None, "vfio-pci", "nvidia"))),
            sriov=sriov,
        )
    ]
    if draw(st.booleans()):
        made.append(
            Device(
                f"{domain:04x}:{bus:02x}:00.1", 0x10DE, 0x22BA, 0x040300, acs=draw(st.booleans())
            )
        )
    return made


def links(root: Path) -> list[str]:
    """Return every symbolic link below a directory."""
    return [
        os.path.join(folder, name)
        for folder, folders, files in os.walk(root)
        for name in (*folders, *files)
        if os.path.islink(os.path.join(folder, name))
    ]


def rows(directory: Path) -> list[tuple[int, int, int]]:
    """Return the lines of ``resource``."""
    lines = (directory / "resource").read_text().splitlines()
    return [tuple(int(word, 16) for word in line.split()) for line in lines]  # type: ignore[misc]
