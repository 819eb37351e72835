# SPDX-License-Identifier: Apache-2.0
"""What is wrong with servers in the field, one function each.

The first part takes a machine and returns an altered one, to be written; the second acts on a tree
that was written. An address is domain:bus:device.function, ``root`` the tree's root directory.
"""

import dataclasses
import os
import shutil
from pathlib import Path

from tests.trees.device import Device, Link
from tests.trees.model import Machine, Node, Pool

# Machines.


def iommu_disabled_in_firmware(machine: Machine) -> Machine:
    """No IOMMU and no ACPI table of one: VT-d or AMD-Vi is off in the firmware's setup."""
    return dataclasses.replace(machine, iommu=None, iommu_table=None)


def iommu_off(machine: Machine, command_line: str = "") -> Machine:
    """The firmware offers an IOMMU that the kernel does not use."""
    return dataclasses.replace(machine, iommu=None, command_line=command_line)


def no_interrupt_remapping(machine: Machine) -> Machine:
    """An IOMMU that does not remap interrupts: vfio wants allow_unsafe_interrupts."""
    return dataclasses.replace(machine, interrupt_remapping=False)


def no_acs(machine: Machine, address: str) -> Machine:
    """No ACS at any port above a function: all behind the same root port are one group."""
    place = machine.place(address)
    root = place.parents[-1]
    ports = [port.address for port in _below(root) if port.is_bridge]
    return machine.alter(root.address, *ports, acs=False)


def degraded(
    machine: Machine, address: str, speed: float | None = None, width: int | None = None
) -> Machine:
    """A link that trained below what both ends can do; both say so.

    :param speed: GT/s; None: not lower
    """
    place = machine.place(address)
    for device in (place.device, *place.parents[:1]):
        if device.link is None:
            raise ValueError(f"{device.address} has no link.")
        link = dataclasses.replace(
            device.link, speed=speed or device.link.speed, width=width or device.link.width
        )
        machine = machine.alter(device.address, link=link)
    return machine


def slower_slot(machine: Machine, address: str, speed: float, width: int) -> Machine:
    """A card in a slot that cannot do what the card can: not a fault of the link."""
    machine = degraded(machine, address, speed, width)
    port = machine.place(address).parents[0]
    return machine.alter(port.address, link=Link(speed, width, speed, width))


def no_numa_node(machine: Machine, *addresses: str) -> Machine:
    """The firmware gives no NUMA node: -1. Without addresses, for every device."""
    if addresses:
        return machine.alter(*addresses, numa_node=-1)
    bridges = tuple(dataclasses.replace(one, node=-1) for one in machine.host_bridges)
    return dataclasses.replace(machine, host_bridges=bridges)


def bound(machine: Machine, driver: str | None, *addresses: str) -> Machine:
    """A driver has functions (all GPUs without addresses); its module is loaded."""
    chosen = addresses or tuple(gpu.address for gpu in machine.gpus())
    machine = machine.alter(*chosen, driver=driver)
    module = (driver or "").replace("-", "_")
    if module and module not in machine.modules:
        machine = dataclasses.replace(machine, modules=(*machine.modules, module))
    return machine


def without_modules(machine: Machine, *modules: str) -> Machine:
    """Modules are not loaded; without names, those of vfio."""
    kept = tuple(
        name
        for name in machine.modules
        if (name not in modules if modules else not name.startswith("vfio"))
    )
    return dataclasses.replace(machine, modules=kept)


def no_reset(machine: Machine, *addresses: str) -> Machine:
    """No reset method: the file is not there."""
    return machine.alter(*addresses, reset_methods=())


def boot_vga(machine: Machine, address: str) -> Machine:
    """A GPU of the VGA class has the firmware's console; the BMC's graphics has not."""
    others = [device.address for device in machine.devices().values() if device.boot_vga]
    machine = machine.alter(*others, boot_vga=False)
    return machine.alter(address, boot_vga=True, class_code=0x030000)


def virtual_functions(machine: Machine, address: str, count: int) -> Machine:
    """Virtual functions are enabled.

    :raises ValueError: if the function has not so many
    """
    sriov = machine.devices()[address].sriov
    if sriov is None or count > sriov.total:
        raise ValueError(f"{address} has not {count} virtual functions.")
    return machine.alter(address, sriov=dataclasses.replace(sriov, enabled=count))


def no_sriov(machine: Machine, *addresses: str) -> Machine:
    """No SR-IOV capability: Nova sees type-PCI instead of type-PF."""
    return machine.alter(*addresses, sriov=None)


def small_bars(machine: Machine, address: str, size: int = 256 << 20) -> Machine:
    """The largest register is what firmware gives without "Above 4G decoding" and the like."""
    device = machine.devices()[address]
    largest = max(device.bars, key=lambda bar: bar.size)
    bars = tuple(
        dataclasses.replace(bar, size=size) if bar is largest else bar for bar in device.bars
    )
    return machine.alter(address, bars=bars)


def physical_bits(machine: Machine, bits: int) -> Machine:
    """Fewer physical address bits; registers that do not fit get no address."""
    processor = dataclasses.replace(machine.processor, physical_bits=bits)
    return dataclasses.replace(machine, processor=processor)


def lockdown(machine: Machine, level: str = "integrity") -> Machine:
    """Secure boot, and the kernel locked down."""
    return dataclasses.replace(machine, secure_boot=True, lockdown=level)


def in_d3cold(machine: Machine, *addresses: str) -> Machine:
    """Without power: no driver, and the kernel has put the function to sleep."""
    return machine.alter(
        *addresses,
        driver=None,
        power_state="D3cold",
        power_control="auto",
        runtime_status="suspended",
    )


def overridden(machine: Machine, address: str, driver: str) -> Machine:
    """``driver_override`` is set and not yet acted on."""
    return machine.alter(address, driver_override=driver)


def hugepages(machine: Machine, node: int, size_kib: int, total: int, free: int) -> Machine:
    """Huge pages on one node."""

    def changed(one: Node) -> Node:
        if one.id != node:
            return one
        others = tuple(pool for pool in one.pools if pool.size_kib != size_kib)
        return dataclasses.replace(one, pools=(*others, Pool(size_kib, total, free)))

    return dataclasses.replace(machine, nodes=tuple(changed(one) for one in machine.nodes))


def removed(machine: Machine, address: str) -> Machine:
    """A device is missing: fallen off the bus before the kernel looked, or not fitted."""

    def without(devices: tuple[Device, ...]) -> tuple[Device, ...]:
        return tuple(
            dataclasses.replace(device, children=without(device.children))
            for device in devices
            if device.address != address
        )

    bridges = tuple(
        dataclasses.replace(one, devices=without(one.devices)) for one in machine.host_bridges
    )
    return dataclasses.replace(machine, host_bridges=bridges)


def added(machine: Machine, port: str, device: Device) -> Machine:
    """A further device behind a port, for instance a peer that shares a GPU's group."""
    children = machine.devices()[port].children
    return machine.alter(port, children=(*children, device))


def _below(device: Device) -> list[Device]:
    return [one for child in device.children for one in (child, *_below(child))]


# Trees.


def device_directory(root: Path | str, address: str) -> Path:
    """The directory of a function, through its link."""
    return Path(os.path.realpath(Path(root, "sys/bus/pci/devices", address)))


def vanished(root: Path | str, address: str) -> None:
    """The device goes away: the links to its directory stay and dangle."""
    shutil.rmtree(device_directory(root, address))


def dead(root: Path | str, address: str) -> None:
    """The device does not answer: all ones in ``config``, the link unknown."""
    directory = device_directory(root, address)
    config = directory / "config"
    config.write_bytes(b"\xff" * len(config.read_bytes()))
    for name, content in (
        ("current_link_speed", "Unknown\n"),
        ("current_link_width", "63\n"),
        ("revision", "0xff\n"),
    ):
        if (directory / name).exists():
            (directory / name).write_text(content)


def missing(root: Path | str, path: str) -> None:
    """A file, link or directory is not there."""
    target = Path(root, path)
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    else:
        target.unlink()


def unreadable(root: Path | str, path: str) -> None:
    """Reading fails with an OSError.

    Permission denied; for root, who may read all, a link to itself (too many levels of links).
    """
    target = Path(root, path)
    target.chmod(0)
    if os.access(target, os.R_OK):
        looping(root, path)


def looping(root: Path | str, path: str) -> None:
    """A link that leads to itself."""
    target = Path(root, path)
    target.unlink(missing_ok=True)
    target.symlink_to(target.name)


def directory_instead(root: Path | str, path: str) -> None:
    """A directory where a file should be."""
    target = Path(root, path)
    target.unlink(missing_ok=True)
    target.mkdir()


def garbled(root: Path | str, path: str, content: bytes = b"\x00\xff\xfe\x80") -> None:
    """Bytes that are not what the file should hold."""
    Path(root, path).write_bytes(content)


def truncated(root: Path | str, path: str, length: int = 0) -> None:
    """Only the file's first bytes."""
    os.truncate(Path(root, path), length)
