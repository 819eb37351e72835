# SPDX-License-Identifier: Apache-2.0
"""The QEMU command line and the stand-in types of a described server."""

from __future__ import annotations

from pathlib import Path

from tests.gpu_host.hardware import Function, Link, Placed, Server

#: Where disks and the job's folder go on bus 0, above the described cards and roots.
SERVICE_SLOT = 0x10
ROOT_SLOT = 8
#: Parts of the board and of the CPU that only cost time: modules to load, registers to emulate.
BARE = ",sata=off,smbus=off"
PLAIN = ",aes=off,pclmulqdq=off,sha-ni=off,xsave=off,avx=off,avx2=off"
#: Extended capability of a downstream port; XIO3130's error reporting ends before it.
ACS_AT = 0x148


def standins(server: Server) -> str:
    """The file that the library of stand-ins reads (see standins.c), one type a line."""
    lines: dict[str, None] = {}
    for place in server.placed:
        for words in _types(place):
            lines.setdefault(" ".join(f"{key}={value}" for key, value in words.items()))
    return "".join(f"{line}\n" for line in lines)


def arguments(server: Server, *, iommu: bool = True) -> list[str]:
    """QEMU's arguments for the hardware: CPUs, memory, IOMMU, and the PCI tree.

    :param iommu: without it the board has no IOMMU at all
    """
    memory = sum(cell.memory for cell in server.cells)
    command = ["-machine", f"q35,kernel-irqchip=off{BARE}", "-accel", "tcg,thread=multi"]
    command += ["-cpu", f"max{PLAIN}"]
    command += ["-smp", f"{len(server.cells)},sockets={len(server.cells)}", "-m", str(memory)]
    command += ["-nodefaults", "-display", "none", "-vga", "none", "-no-reboot"]
    if iommu:
        command += ["-device", "intel-iommu,intremap=on,device-iotlb=on,aw-bits=48"]
    for cell in server.cells:
        node = cell.node
        command += ["-object", f"memory-backend-ram,id=memory{node},size={cell.memory}M"]
        command += ["-numa", f"node,nodeid={node},cpus={node},memdev=memory{node}"]
    for cell in server.cells:
        for other in server.cells:
            if other.node > cell.node:
                distance = f"dist,src={cell.node},dst={other.node},val={server.distance}"
                command += ["-numa", distance]
    for index, cell in enumerate(server.cells):
        root = f"pxb-pcie,id=node{cell.node},bus=pcie.0,addr={ROOT_SLOT + index:#x}"
        command += ["-device", f"{root},bus_nr={cell.bus},numa_node={cell.node}"]
    for chassis, place in enumerate(server.placed, start=1):
        where = f"id={place.name},bus={place.above},addr={place.slot:#x}.{place.number}"
        if place.shared:
            where += ",multifunction=on"
        command += ["-device", f"{_type(place)},{where}{_properties(place, chassis)}"]
    return command


def disk(name: str, path: Path, file_format: str, index: int, *, read_only: bool) -> list[str]:
    """A disk that the guest finds as /dev/disk/by-id/virtio-NAME."""
    options = f"file={path},format={file_format},if=none,id={name},cache=unsafe"
    command = ["-drive", f"{options},readonly={'on' if read_only else 'off'}"]
    device = f"virtio-blk-pci,drive={name},serial={name},bus=pcie.0"
    return [*command, "-device", f"{device},addr={SERVICE_SLOT + index:#x}"]


def shared_folder(name: str, path: Path) -> list[str]:
    """A folder of this machine that the guest mounts by its name."""
    command = ["-fsdev", f"local,id={name},path={path},security_model=none"]
    device = f"virtio-9p-pci,fsdev={name},mount_tag={name},bus=pcie.0,addr={SERVICE_SLOT - 1:#x}"
    return [*command, "-device", device]


def _type(place: Placed) -> str:
    function = place.function
    if function:
        return function.stock if function.stock and not _renamed(function) else _own(function)
    return {
        "root port": _port(place),
        "upstream": "standin-switch-up",
        "downstream": "standin-switch-down",
        "legacy bridge": "pcie-pci-bridge",
    }[place.role]


def _properties(place: Placed, chassis: int) -> str:
    if place.role in ("root port", "downstream"):
        acs = "" if place.acs else ",disable-acs=on"
        return f",chassis={chassis},slot={chassis}{acs}"
    # No network behind the cards, and no firmware of theirs at boot.
    return ",romfile=" if place.function and place.function.kind == "nic" else ""


def _types(place: Placed) -> list[dict[str, object]]:
    """The stand-in types that a place needs; most need one, stock devices none."""
    if place.function:
        return _function_types(place, place.function)
    if place.role == "root port":
        return [{"type": _port(place), "parent": "pcie-root-port"} | _link(place.link, place.link)]
    if place.role == "upstream":
        up: dict[str, object] = {"type": _type(place), "parent": "x3130-upstream"}
        return [up | _link(place.link, place.link)]
    if place.role == "downstream":
        down: dict[str, object] = {"type": _type(place), "parent": "xio3130-downstream"}
        down["acs"] = ACS_AT
        return [down | _link(place.link, place.link)]
    return []


def _function_types(place: Placed, function: Function) -> list[dict[str, object]]:
    if function.stock and not _renamed(function):
        return []
    ids: dict[str, object] = {
        "vendor": f"0x{function.vendor}",
        "device": f"0x{function.device}",
        "class": f"0x{function.pci_class}",
        "revision": function.revision,
        "subvendor": f"0x{function.vendor}",
        "subdevice": f"0x{function.device}",
    }
    if function.stock:
        return [{"type": _own(function), "parent": function.stock} | ids]
    own: dict[str, object] = {"type": _own(function), "parent": "pci-device"} | ids
    # A bridge to PCI has conventional PCI behind it.
    own["bus"] = "express" if function.link or place.above == "pcie.0" else "conventional"
    own |= {f"bar{bar.number}": f"{bar.size}:{bar.flags}" for bar in function.bars}
    if function.flr:
        own["flr"] = 1
    own |= _link(function.link, function.capable)
    if not function.vfs:
        return [own]
    vf = {key: value for key, value in own.items() if not key.startswith("bar")}
    vf |= {"type": f"{_own(function)}-vf", "vf": 1}
    bars = {f"bar{bar.number}": f"{bar.size // 16}:{bar.flags}" for bar in function.bars}
    own |= {"vfs": function.vfs, "vf_type": vf["type"], "vf_device": ids["device"]}
    own |= {f"vf_{name}": value for name, value in bars.items()}
    return [vf | bars, own]


def _link(now: Link | None, capable: Link | None) -> dict[str, object]:
    if not now or not capable:
        return {}
    return {
        "speed": now.generation,
        "width": now.width,
        "max_speed": capable.generation,
        "max_width": capable.width,
    }


def _renamed(function: Function) -> bool:
    """Whether a stock device gets other ids than its own."""
    return function.stock == "intel-hda"


def _own(function: Function) -> str:
    return f"standin-{function.name}"


def _port(place: Placed) -> str:
    return f"standin-port-gen{place.link.generation if place.link else 4}"
