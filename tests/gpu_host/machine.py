# SPDX-License-Identifier: Apache-2.0
"""The QEMU command line and the stand-in device types of a virtual server."""

from __future__ import annotations

from pathlib import Path

from tests.gpu_host.hardware import Function, Link, PlacedDevice, Server

#: Slots of disks and the job's folder on bus 0, after those of the server's cards and roots.
SERVICE_SLOT = 0x10
ROOT_SLOT = 8
#: Features of the board and the CPU that only cost time: modules to load, registers to emulate.
BARE = ",sata=off,smbus=off"
PLAIN = ",aes=off,pclmulqdq=off,sha-ni=off,xsave=off,avx=off,avx2=off"
#: Extended capability of a downstream port; XIO3130's error reporting ends before it.
ACS_AT = 0x148


def standins(server: Server) -> str:
    """Return the file that the stand-in library reads (see standins.c), with one type per line."""
    lines: dict[str, None] = {}
    for placed in server.devices:
        for words in _types(placed):
            lines.setdefault(" ".join(f"{key}={value}" for key, value in words.items()))
    return "".join(f"{line}\n" for line in lines)


def arguments(server: Server, *, iommu: bool = True) -> list[str]:
    """Return QEMU's arguments for the hardware: CPUs, memory, IOMMU, and the PCI tree.

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
    for chassis, placed in enumerate(server.devices, start=1):
        where = f"id={placed.name},bus={placed.above},addr={placed.slot:#x}.{placed.number}"
        if placed.shared:
            where += ",multifunction=on"
        command += ["-device", f"{_type(placed)},{where}{_properties(placed, chassis)}"]
    return command


def disk(name: str, path: Path, file_format: str, index: int, *, read_only: bool) -> list[str]:
    """Return the arguments for a disk, in the guest /dev/disk/by-id/virtio-NAME."""
    options = f"file={path},format={file_format},if=none,id={name},cache=unsafe"
    command = ["-drive", f"{options},readonly={'on' if read_only else 'off'}"]
    device = f"virtio-blk-pci,drive={name},serial={name},bus=pcie.0"
    return [*command, "-device", f"{device},addr={SERVICE_SLOT + index:#x}"]


def shared_folder(name: str, path: Path) -> list[str]:
    """Return the arguments for a folder of this machine that the guest mounts by its name."""
    command = ["-fsdev", f"local,id={name},path={path},security_model=none"]
    device = f"virtio-9p-pci,fsdev={name},mount_tag={name},bus=pcie.0,addr={SERVICE_SLOT - 1:#x}"
    return [*command, "-device", device]


def _type(placed: PlacedDevice) -> str:
    function = placed.function
    if function:
        return function.stock if function.stock and not _has_other_ids(function) else _own(function)
    return {
        "root port": _port(placed),
        "upstream": "standin-switch-up",
        "downstream": "standin-switch-down",
        "legacy bridge": "pcie-pci-bridge",
    }[placed.role]


def _properties(placed: PlacedDevice, chassis: int) -> str:
    if placed.role in ("root port", "downstream"):
        acs = "" if placed.acs else ",disable-acs=on"
        return f",chassis={chassis},slot={chassis}{acs}"
    # The NICs have no network and no boot firmware.
    return ",romfile=" if placed.function and placed.function.kind == "nic" else ""


def _types(placed: PlacedDevice) -> list[dict[str, object]]:
    """Return the stand-in types of a device: mostly one, none for stock devices."""
    if placed.function:
        return _function_types(placed, placed.function)
    if placed.role == "root port":
        return [
            {"type": _port(placed), "parent": "pcie-root-port"} | _link(placed.link, placed.link)
        ]
    if placed.role == "upstream":
        up: dict[str, object] = {"type": _type(placed), "parent": "x3130-upstream"}
        return [up | _link(placed.link, placed.link)]
    if placed.role == "downstream":
        down: dict[str, object] = {"type": _type(placed), "parent": "xio3130-downstream"}
        down["acs"] = ACS_AT
        return [down | _link(placed.link, placed.link)]
    return []


def _function_types(placed: PlacedDevice, function: Function) -> list[dict[str, object]]:
    if function.stock and not _has_other_ids(function):
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
    # Behind a bridge to PCI is conventional PCI.
    own["bus"] = "express" if function.link or placed.above == "pcie.0" else "conventional"
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


def _link(current: Link | None, capable: Link | None) -> dict[str, object]:
    if not current or not capable:
        return {}
    return {
        "speed": current.generation,
        "width": current.width,
        "max_speed": capable.generation,
        "max_width": capable.width,
    }


def _has_other_ids(function: Function) -> bool:
    """Check whether a stock device gets other ids."""
    return function.stock == "intel-hda"


def _own(function: Function) -> str:
    return f"standin-{function.name}"


def _port(placed: PlacedDevice) -> str:
    return f"standin-port-gen{placed.link.generation if placed.link else 4}"
